/** The options of a comparison: those of tuning, and which methods are set side by side. */
import { GiantError } from "../base/errors.ts";
import { nearestName } from "../base/nearest.ts";
import type { OptionTable } from "../base/options.ts";
import { METHOD_NAMES, type MethodName } from "./methods/tuning-methods.ts";
import { resolveTuneOptions, TUNE_OPTIONS, type TuneOptions } from "./tune-options.ts";

export interface CompareOptions extends TuneOptions {
  /** Methods, or "all". */
  readonly compare: readonly string[];
  /** Learning rates of single methods. */
  readonly learningRates: Readonly<Record<string, number>>;
}

const GROUP = "Comparison";

export const COMPARE_OPTIONS: OptionTable<CompareOptions> = {
  ...TUNE_OPTIONS,
  compare: {
    group: GROUP,
    type: "list",
    placeholder: "METHODS",
    default: [],
    help: "tune by each of these methods, one after the other, on the same data with the same seed and steps, and set the results side by side; all takes every method",
  },
  learningRates: {
    group: GROUP,
    type: "map",
    default: {},
    help: "highest learning rate of a method in the comparison, such as prefix=0.01; --learning-rate holds for those not named, otherwise each has its own usual one",
  },
};

/** The options of each run of a comparison, by method, in the order in which they are named. */
export function optionsByMethod(given: Partial<CompareOptions>): Map<MethodName, Partial<TuneOptions>> {
  const { compare = [], learningRates = {}, ...shared } = given;
  const methods = methodsNamed(compare);
  for (const name of Object.keys(learningRates)) {
    if (!methods.includes(name as MethodName)) throw unknown("--learning-rates", name, methods);
  }
  if (shared.method !== undefined)
    throw new GiantError("usage", "--method: found it beside --compare, needed one of the two", { hint: "Leave --method out, in a recipe too." });
  return new Map(
    methods.map((method) => {
      const rate = learningRates[method];
      return [method, { ...shared, method, ...(rate === undefined ? {} : { learningRate: rate }) }];
    }),
  );
}

/** Checks every run's options before the first run begins. */
export function resolveComparison(given: Partial<CompareOptions>): Map<MethodName, TuneOptions> {
  return new Map([...optionsByMethod(given)].map(([method, options]) => [method, resolveTuneOptions(options)]));
}

function methodsNamed(names: readonly string[]): MethodName[] {
  const methods = names.flatMap((name) => {
    if (name === "all") return METHOD_NAMES;
    if (!METHOD_NAMES.includes(name as MethodName)) throw unknown("--compare", name, METHOD_NAMES);
    return [name as MethodName];
  });
  if (methods.length === 0) throw new GiantError("usage", "--compare: found no method, needed one or more", { hint: `Methods: ${METHOD_NAMES.join(", ")}.` });
  return [...new Set(methods)];
}

function unknown(flag: string, name: string, known: readonly string[]): GiantError {
  const meant = nearestName(name, known);
  return new GiantError(
    "usage",
    `${flag}: found ${JSON.stringify(name)}, needed one of ${known.join(", ")}`,
    meant === undefined ? {} : { hint: `Did you mean ${meant}?` },
  );
}

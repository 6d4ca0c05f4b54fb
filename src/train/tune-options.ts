/** The options of a tuning run: the one source of its flags, recipe keys, help and defaults. */
import { resolve } from "node:path";
import { GiantError } from "../base/errors.ts";
import { resolveOptions, type OptionTable } from "../base/options.ts";
import { METHOD_OPTIONS, type MethodOptions } from "./methods/method-options.ts";
import { METHOD_NAMES, type MethodName, tuningMethod } from "./methods/tuning-methods.ts";
import { NF4_BLOCK_SIZES } from "../quantize/nf4.ts";
import { validationOf } from "./validation-option.ts";
import { checkCourse, COURSE_OPTIONS, type CourseOptions, MACHINE } from "./course-options.ts";

export interface TuneOptions extends CourseOptions, MethodOptions {
  readonly model: string;
  readonly data: string;
  readonly format: string;
  /** A file, or a fraction as text; "0" for none. */
  readonly validation: string;
  readonly method: MethodName;
  readonly output: string;
  readonly seed: number;

  readonly maxLength?: number;
  readonly packing: boolean;
  readonly trainOn: "answers" | "all";
  readonly longExamples: "drop" | "truncate" | "error";

  readonly packWeights: boolean;
  readonly compute: "exact" | "fast";
  readonly int8Cache?: string;
}

const INPUT = "Input and output";
const SEQUENCES = "Sequences";

export const TUNE_OPTIONS: OptionTable<TuneOptions> = {
  model: { group: INPUT, type: "path", placeholder: "DIR", required: true, help: "folder of the base model, in Hugging Face's layout" },
  data: {
    group: INPUT,
    type: "path",
    placeholder: "FILE",
    required: true,
    help: "training examples: Alpaca JSON or JSONL, messages JSONL, prompt/completion JSONL, or plain text",
  },
  format: { group: INPUT, type: "string", placeholder: "NAME", default: "auto", help: "format of the examples; auto looks at the first ones" },
  validation: {
    group: INPUT,
    type: "string",
    placeholder: "FILE|FRACTION",
    default: "0.1",
    help: "examples held out to measure before and after: a file, or the fraction of the data that is set aside; 0 for none",
  },
  method: {
    group: INPUT,
    type: "enum",
    choices: METHOD_NAMES,
    default: "lora",
    help: `how the model is tuned: ${METHOD_NAMES.map((name) => `${name}, ${tuningMethod(name).summary}`).join("; ")}`,
  },
  output: { group: INPUT, type: "path", placeholder: "DIR", required: true, inRecipe: false, help: "folder of the run; with --resume the run to go on with" },
  seed: { group: INPUT, type: "integer", minimum: 0, maximum: 4294967295, default: 42, help: "decides every random choice of the run" },

  ...METHOD_OPTIONS,

  maxLength: {
    group: SEQUENCES,
    type: "integer",
    minimum: 2,
    unit: "tokens",
    defaultText: "512, or the model's context where that is shorter",
    help: "longest sequence",
  },
  packing: { group: SEQUENCES, type: "boolean", default: false, help: "put several examples into one sequence, kept apart by masks" },
  trainOn: { group: SEQUENCES, type: "enum", choices: ["answers", "all"], default: "answers", help: "tokens that count in the loss" },
  longExamples: {
    group: SEQUENCES,
    type: "enum",
    choices: ["drop", "truncate", "error"],
    default: "truncate",
    help: "what becomes of examples longer than the longest sequence",
  },

  ...COURSE_OPTIONS,
  learningRate: { ...COURSE_OPTIONS.learningRate, defaultText: usualRates() },
  packWeights: {
    group: MACHINE,
    type: "boolean",
    default: true,
    help: "keep float32 and int8 weights a second time in the order the CPU multiplies them in: a few percent faster; never done with --recompute",
  },
  compute: {
    group: MACHINE,
    type: "enum",
    choices: ["exact", "fast"],
    default: "exact",
    help: "fast multiplies by the frozen weights of the blocks in int8 on the CPU: each product is off by about 1 %, evaluations stay exact",
  },
  int8Cache: {
    group: MACHINE,
    type: "path",
    placeholder: "DIR",
    defaultText: "mini-giants in the user's cache folder",
    help: "folder that keeps the int8 form of a base for later runs of --compute fast",
  },
};

/** Fills in the defaults, including those that hang on other options, makes paths absolute and checks options against each other. */
export function resolveTuneOptions(...layers: readonly Partial<TuneOptions>[]): TuneOptions {
  const options = resolveOptions(TUNE_OPTIONS, ...layers);
  const learningRate = layers.findLast((layer) => layer.learningRate !== undefined)?.learningRate ?? tuningMethod(options.method).learningRate;
  // Who chooses four bits is short of memory.
  const recompute = layers.findLast((layer) => layer.recompute !== undefined)?.recompute ?? options.method === "qlora";
  if (options.method === "qlora" && !NF4_BLOCK_SIZES.includes(options.quantBlockSize)) {
    throw new GiantError("usage", `--quant-block-size: ${options.quantBlockSize} is none of ${NF4_BLOCK_SIZES.join(", ")}`, { hint: "64 is the paper's." });
  }
  if (options.method === "qlora" && options.device !== "auto" && options.device !== "cpu") {
    throw new GiantError("usage", `--device ${options.device}: a base in four bits is computed on the CPU only`, {
      hint: "Leave --device out, or tune by --method lora.",
    });
  }
  checkCourse(options, validationOf(options).kind !== "none");
  if (options.compute === "fast" && options.method === "full") {
    throw new GiantError("usage", "--compute fast: needs frozen weights, found --method full, which trains them all", { hint: "Leave --compute fast out." });
  }
  if (options.compute === "fast" && options.device !== "auto" && options.device !== "cpu") {
    throw new GiantError("usage", `--compute fast: needs the CPU, found --device ${options.device}`, {
      hint: "Set --device cpu, or leave --compute fast out.",
    });
  }
  return { ...options, learningRate, recompute, ...(options.method === "qlora" && { device: "cpu" as const }), ...absolutePaths(options) };
}

/** The paths among given options, made absolute: a recipe means the same files wherever it is run from. */
export function absolutePaths(options: Partial<TuneOptions>): Partial<TuneOptions> {
  const paths: Record<string, string> = {};
  for (const name of ["model", "data", "output", "quantizedCache", "int8Cache"] as const) if (options[name] !== undefined) paths[name] = resolve(options[name]);
  if (options.validation !== undefined && validationOf({ validation: options.validation }).kind === "file") paths["validation"] = resolve(options.validation);
  return paths;
}

/** The methods' usual learning rates, as help shows them. */
function usualRates(): string {
  const rates = [...new Set(METHOD_NAMES.map((name) => tuningMethod(name).learningRate))];
  return rates.map((rate) => `${rate} for ${METHOD_NAMES.filter((name) => tuningMethod(name).learningRate === rate).join(", ")}`).join("; ");
}

/** Answers for one or two of parameters, tokens, FLOPs and loss: the rest, by every approach side by side. */
import { GiantError } from "../base/errors.ts";
import { formatCount, formatFigure, formatPower } from "../base/units.ts";
import { atEqualLoss, inferenceAwareOptimum, type Alternative } from "./inference-aware.ts";
import { firstWhere } from "./minimum.ts";
import { FRONTIERS, frontierForFlops, frontierForParameters, frontierForTokens, type Frontier } from "./published-frontier.ts";
import { repeatData, repeatedOptimumForFlops, repeatedOptimumForLoss, type RepeatedAllocation } from "./repeated-data.ts";
import {
  lossOf,
  optimumForFlops,
  optimumForLoss,
  optimumForParameters,
  optimumForTokens,
  parametersForLoss,
  shareOfFlops,
  tokensForLoss,
  trainingFlops,
  type Allocation,
  type LawConstants,
  type ScalingLaw,
} from "./scaling-law.ts";

/** What is known; one or two of the four. */
export interface Known {
  readonly parameters?: number;
  readonly tokens?: number;
  readonly flops?: number;
  readonly loss?: number;
}

export interface ScalingQuestion {
  readonly known: Known;
  /** The law that the curve, the smaller models and repeated data are computed by. */
  readonly law: ScalingLaw;
  /** The laws that stand side by side. */
  readonly laws: readonly ScalingLaw[];
  /** Tokens that the model will read and write in its life; as many as its optimum is trained on where absent. */
  readonly inferenceTokens?: number;
  /** Different tokens there are; endless where absent. */
  readonly uniqueTokens?: number;
}

/** One approach's answer; null where it has none. */
export interface ScalingRow {
  readonly id: string;
  readonly name: string;
  readonly source: string;
  readonly parameters: number | null;
  readonly tokens: number | null;
  readonly flops: number | null;
  readonly loss: number | null;
}

export interface SmallerModels {
  readonly inferenceTokens: number;
  readonly optimum: Alternative;
  /** The one of least training and use together. */
  readonly inferenceAware: Alternative;
  /** Null where no number of tokens makes up for the size. */
  readonly half: Alternative | null;
  readonly quarter: Alternative | null;
}

/** How much more loss is still nearly the same. */
export const NEARLY = 0.01;

export interface RepeatedPlan {
  readonly uniqueTokens: number;
  /** The law's own answer, with what its tokens are worth when they repeat. */
  readonly asPlanned: RepeatedAllocation;
  /** The best for the same FLOPs. */
  readonly best: RepeatedAllocation;
  /** The cheapest within `NEARLY` of that loss: where data is short, most of a large budget buys nothing. */
  readonly nearly: RepeatedAllocation;
  /** The cheapest that reaches the target loss; null where repetition does not get there, absent without a target. */
  readonly forLoss?: RepeatedAllocation | null;
}

export interface ScalingPlan {
  readonly known: Known;
  /** Compute-optimal where one figure is known; what follows from two otherwise. */
  readonly rows: readonly ScalingRow[];
  /** Where two are known: compute-optimal for the same FLOPs, or the same loss. */
  readonly optimal: readonly ScalingRow[];
  /** The chosen law's answer. */
  readonly chosen: ScalingRow & Allocation;
  readonly law: ScalingLaw;
  /** Only where one figure is known: with two the size is no longer free. */
  readonly smaller?: SmallerModels;
  readonly repeated?: RepeatedPlan;
}

/** Largest figure that is planned with: a thousand million times the compute of the largest runs there were. */
const LARGEST = 1e35;

/** @throws GiantError("usage") for too much or too little that is known, and where no model meets it. */
export function planScaling({ known, law, laws, inferenceTokens, uniqueTokens }: ScalingQuestion): ScalingPlan {
  const names = (["parameters", "tokens", "flops", "loss"] as const).filter((name) => known[name] !== undefined);
  if (names.length === 0 || names.length > 2) {
    throw new GiantError("usage", `${names.length} of parameters, tokens, FLOPs and loss are given, one or two were needed`, {
      hint: "Any two decide the others; leave out what you want to know.",
    });
  }
  for (const name of ["parameters", "tokens", "flops"] as const) {
    const figure = known[name];
    if (figure !== undefined && !(figure <= LARGEST))
      throw new GiantError("usage", `${describeKnown({ [name]: figure })}: no law says anything of so much; at most ${formatPower(LARGEST)} was needed`);
  }
  const all = laws.some(({ id }) => id === law.id) ? laws : [law, ...laws];
  const rows = names.length === 1 ? optimalRows(known, all) : all.map((each) => lawRow(each, solvePair(each, known)));
  const chosen = rows.find(({ id }) => id === law.id)!;
  if (!rows.some(hasSize)) throw outOfReach(known, all);
  if (!hasSize(chosen)) throw outOfReach(known, [law]);
  for (const { parameters, tokens } of rows.filter(hasSize)) {
    if (parameters >= 1 && tokens >= 1) continue;
    throw new GiantError(
      "usage",
      `${describeKnown(known)}: no model is so small; ${formatFigure(parameters)} parameters would be left on ${formatFigure(tokens)} tokens`,
    );
  }
  const optimal = names.length === 1 ? [] : optimalRows(known.loss === undefined ? { flops: chosen.flops! } : { loss: known.loss }, all);
  return {
    known,
    rows,
    optimal,
    chosen,
    law,
    ...(names.length === 1 ? { smaller: smallerModels(law, chosen, inferenceTokens ?? chosen.tokens) } : {}),
    ...(uniqueTokens === undefined ? {} : { repeated: repeatedPlan(law, chosen, uniqueTokens, known.loss) }),
  };
}

function hasSize(row: ScalingRow): row is ScalingRow & Allocation {
  return row.parameters !== null && row.tokens !== null;
}

function optimalRows(known: Known, laws: readonly ScalingLaw[]): ScalingRow[] {
  // Approaches 1 and 2 say nothing of the loss.
  const frontiers = known.loss === undefined ? FRONTIERS.map((each) => row(each, solveFrontier(each, known), null)) : [];
  return [...frontiers, ...laws.map((law) => lawRow(law, solveOne(law, known)))];
}

function solveFrontier(frontier: Frontier, { parameters, tokens, flops }: Known): Allocation {
  if (flops !== undefined) return frontierForFlops(frontier, flops);
  return parameters === undefined ? frontierForTokens(frontier, tokens!) : frontierForParameters(frontier, parameters);
}

function solveOne(law: ScalingLaw, { parameters, tokens, flops, loss }: Known): Allocation | undefined {
  if (flops !== undefined) return optimumForFlops(law, flops);
  if (parameters !== undefined) return optimumForParameters(law, parameters);
  return tokens === undefined ? optimumForLoss(law, loss!) : optimumForTokens(law, tokens);
}

function solvePair(law: ScalingLaw, { parameters, tokens, flops, loss }: Known): Allocation | undefined {
  const pair = (size: number | undefined, data: number | undefined): Allocation | undefined =>
    size === undefined || data === undefined ? undefined : { parameters: size, tokens: data };
  if (loss === undefined) return pair(parameters ?? shareOfFlops(flops!, tokens!), tokens ?? shareOfFlops(flops!, parameters!));
  if (parameters !== undefined) return pair(parameters, tokensForLoss(law, parameters, loss));
  if (tokens !== undefined) return pair(parametersForLoss(law, tokens, loss), tokens);
  return smallestForBudget(law, flops!, loss);
}

/** The smallest model that has the loss within the budget: the one that is cheapest to use. */
function smallestForBudget(law: ScalingLaw, flops: number, loss: number): Allocation | undefined {
  const at = (logParameters: number): Allocation => {
    const parameters = Math.exp(logParameters);
    return { parameters, tokens: shareOfFlops(flops, parameters) };
  };
  const optimum = optimumForFlops(law, flops);
  const found = firstWhere((x) => lossOf(law, at(x)) <= loss, 0, Math.log(optimum.parameters));
  return found === undefined ? undefined : at(found);
}

function lawRow(law: ScalingLaw, found: Allocation | undefined): ScalingRow {
  return row(law, found, found === undefined ? null : lossOf(law, found));
}

function row({ id, name, source }: Pick<ScalingRow, "id" | "name" | "source">, found: Allocation | undefined, loss: number | null): ScalingRow {
  if (!found) return { id, name, source, parameters: null, tokens: null, flops: null, loss };
  return { id, name, source, parameters: found.parameters, tokens: found.tokens, flops: trainingFlops(found.parameters, found.tokens), loss };
}

function smallerModels(law: ScalingLaw, optimum: Allocation, inferenceTokens: number): SmallerModels {
  const sized = (share: number): Alternative | undefined => atEqualLoss(law, optimum, optimum.parameters * share, inferenceTokens);
  return {
    inferenceTokens,
    optimum: sized(1)!,
    inferenceAware: inferenceAwareOptimum(law, optimum, inferenceTokens),
    half: sized(1 / 2) ?? null,
    quarter: sized(1 / 4) ?? null,
  };
}

function repeatedPlan(law: ScalingLaw, chosen: Allocation, uniqueTokens: number, loss: number | undefined): RepeatedPlan {
  const best = repeatedOptimumForFlops(law, trainingFlops(chosen.parameters, chosen.tokens), uniqueTokens);
  return {
    uniqueTokens,
    asPlanned: repeatData(law, chosen, uniqueTokens),
    best,
    nearly: repeatedOptimumForLoss(law, best.loss * (1 + NEARLY), uniqueTokens) ?? best,
    ...(loss === undefined ? {} : { forLoss: repeatedOptimumForLoss(law, loss, uniqueTokens) ?? null }),
  };
}

/** The least loss that the known figure leaves, over all sizes that are still free. */
function leastLoss(law: ScalingLaw, { parameters, tokens, flops }: Known): number {
  if (flops !== undefined) return lossOf(law, optimumForFlops(law, flops));
  return lossOf(law, { parameters: parameters ?? Infinity, tokens: tokens ?? Infinity });
}

function outOfReach(known: Known, laws: readonly ScalingLaw[]): GiantError {
  const [law, least] = laws.map((each) => [each, leastLoss(each, known)] as const).reduce((p, q) => (q[1] < p[1] ? q : p));
  const { loss, ...other } = known;
  const where = describeKnown(other);
  return new GiantError(
    "usage",
    `--target-loss ${loss}: no model ${where === "" ? "" : `with ${where} `}reaches it; the least is above ${Number(least.toFixed(4))} by ${law.id}`,
    {
      hint:
        where === ""
          ? "That is E, what is left on endless data with endless parameters; --law chooses another law."
          : "Allow a higher loss, or leave out the other figure to see what the loss would need.",
      facts: { ...known, least, law: law.id },
    },
  );
}

/** Known figures in words: `135M parameters and 2.00T tokens`. */
export function describeKnown({ parameters, tokens, flops, loss }: Known): string {
  return [
    parameters === undefined ? [] : `${formatCount(parameters)} parameters`,
    tokens === undefined ? [] : `${formatCount(tokens)} tokens`,
    flops === undefined ? [] : `${formatPower(flops)} FLOPs`,
    loss === undefined ? [] : `a loss of ${loss}`,
  ]
    .flat()
    .join(" and ");
}

/** The loss along a budget over sizes from `from` to `to`, evenly in logarithms. */
export function isoFlopCurve(law: LawConstants, flops: number, from: number, to: number): { readonly parameters: number; readonly loss: number }[] {
  const points = 81;
  return Array.from({ length: points }, (_, i) => {
    const parameters = from * (to / from) ** (i / (points - 1));
    return { parameters, loss: lossOf(law, { parameters, tokens: shareOfFlops(flops, parameters) }) };
  });
}

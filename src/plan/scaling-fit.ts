/** Fits the parametric law to finished runs, as Hoffmann et al. 2022 describe it and Besiroglu et al. 2024 correct it. */
import { GiantError } from "../base/errors.ts";
import { minimize, type Minimum, type MinimizeOptions } from "./lbfgs.ts";
import { trainingFlops, type Allocation, type LawConstants } from "./scaling-law.ts";

/** One finished run. */
export interface ScalingRun extends Allocation {
  /** Its final loss in nats per token. */
  readonly loss: number;
}

/** Where the Huber loss of a difference of log losses turns from a square to a line (Hoffmann et al. 2022, section 3.3). */
export const HUBER_DELTA = 1e-3;

/** Five constants want more than five runs. */
const LEAST_RUNS = 6;
/** A power law with an offset has three constants along each axis. */
const LEAST_DIFFERENT = 3;

/** Below such an exponent a thousandfold more of something would change its share of the loss by less than 7 %. */
const LEAST_EXPONENT = 0.01;

/** The grid of starts of Hoffmann et al. 2022, section D.2, in the terms of `LawLogs`. */
const STARTS = {
  a: [0, 5, 10, 15, 20, 25],
  b: [0, 5, 10, 15, 20, 25],
  e: [-1, -0.5, 0, 0.5, 1],
  alpha: [0, 0.5, 1, 1.5, 2],
  beta: [0, 0.5, 1, 1.5, 2],
} as const;

/** Every start goes so far; then the best ones go to the end. */
const FIRST_ITERATIONS = 25;
const FINALISTS = 20;

/**
 * Tight, as Besiroglu et al. found it necessary: the sum of Huber losses at δ = 1e-3 is itself of the order of 1e-3,
 * and a looser end (or the mean in place of the sum, at the usual tolerance) stops far from the minimum.
 */
const TO_THE_END: MinimizeOptions = { maxIterations: 3000, gradientTolerance: 1e-12, valueTolerance: 1e-14 };

export interface LawFit {
  readonly constants: LawConstants;
  /** The sum of Huber losses. */
  readonly objective: number;
  /** log(predicted) − log(observed) of each run. */
  readonly residuals: readonly number[];
}

/** Leaves out the runs with the fewest tokens per parameter, which no law of this form describes (Besiroglu et al. leave out five). */
export function withoutLowestRatios(runs: readonly ScalingRun[], count: number): readonly ScalingRun[] {
  const lowest = new Set(runs.toSorted((p, q) => p.tokens / p.parameters - q.tokens / q.parameters).slice(0, count));
  return runs.filter((run) => !lowest.has(run));
}

/** Says with GiantError("data") when the runs cannot tell the five constants apart. */
export function checkRuns(runs: readonly ScalingRun[], where: string): void {
  if (runs.length < LEAST_RUNS) {
    throw new GiantError("data", `${where}: ${runs.length} run${runs.length === 1 ? "" : "s"} to fit, at least ${LEAST_RUNS} are needed`, {
      hint: "The law has five constants.",
    });
  }
  for (const [what, values] of [
    ["parameter counts", runs.map((run) => run.parameters)],
    ["token counts", runs.map((run) => run.tokens)],
  ] as const) {
    const different = new Set(values).size;
    if (different < LEAST_DIFFERENT) {
      throw new GiantError("data", `${where}: the runs have ${different} different ${what}, at least ${LEAST_DIFFERENT} are needed`, {
        hint: "Runs of several sizes, each on several amounts of data, tell the constants apart.",
      });
    }
  }
}

/** Whether fitted constants are a law at all: the loss falls with size and with data. Too few or too similar runs end elsewhere. */
export function isLaw({ E, A, B, alpha, beta }: LawConstants): boolean {
  return alpha >= LEAST_EXPONENT && beta >= LEAST_EXPONENT && [E, A, B].every(Number.isFinite) && A > 0 && B > 0;
}

/** Says with GiantError("data") along which axis the runs follow no law. */
export function checkLaw(constants: LawConstants, where: string): void {
  if (isLaw(constants)) return;
  const { alpha, beta } = constants;
  const along = alpha < LEAST_EXPONENT ? `parameters (α = ${alpha.toFixed(4)})` : `tokens (β = ${beta.toFixed(4)})`;
  throw new GiantError("data", `${where}: the runs show no loss that falls with ${along}, so no law can be fitted`, {
    hint: "Runs whose parameters and tokens vary apart from each other, tenfold or more each, tell the constants apart.",
    facts: { ...constants },
  });
}

/** How far a fit has come. */
export interface FitProgress {
  readonly done: number;
  readonly of: number;
}

/** Fits from a grid of starts and says after each how far it is. The runs are those that `checkRuns` lets pass. */
export function* fitLaw(runs: readonly ScalingRun[]): Generator<FitProgress, LawFit> {
  const problem = new LawProblem(runs);
  const starts = problem.starts();
  const of = starts.length + FINALISTS;
  const screened: Minimum[] = [];
  for (const start of starts) {
    screened.push(minimize(problem.objective, start, { ...TO_THE_END, maxIterations: FIRST_ITERATIONS }));
    yield { done: screened.length, of };
  }
  const finite = screened.filter(({ value }) => Number.isFinite(value)).toSorted((p, q) => p.value - q.value);
  let best: Minimum | undefined;
  for (const [i, { x }] of finite.slice(0, FINALISTS).entries()) {
    const end = minimize(problem.objective, x, TO_THE_END);
    if (best === undefined || end.value < best.value) best = end;
    yield { done: starts.length + i + 1, of };
  }
  if (!best) throw new GiantError("numeric", "the fit found no finite loss from any start", { hint: "Look for losses or sizes that are far out." });
  return problem.fit(best);
}

/** Fits from the constants of another fit, for resamples of the same runs. */
export function refitLaw(runs: readonly ScalingRun[], from: LawConstants): LawFit {
  const problem = new LawProblem(runs);
  return problem.fit(minimize(problem.objective, problem.startAt(from), TO_THE_END));
}

/**
 * The minimisation as functions of five numbers: a, b, e (the logarithms of A, B, E), α and β.
 * log L̂ = LSE(a − α·log N, b − β·log D, e). Sizes are counted from their mean in logarithms, which keeps a from moving with α.
 */
class LawProblem {
  readonly #logN: Float64Array;
  readonly #logD: Float64Array;
  readonly #logLoss: Float64Array;
  readonly #meanN: number;
  readonly #meanD: number;

  constructor(runs: readonly ScalingRun[]) {
    const logs = (of: (run: ScalingRun) => number): Float64Array => Float64Array.from(runs, (run) => Math.log(of(run)));
    const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    const [logN, logD] = [logs((run) => run.parameters), logs((run) => run.tokens)];
    [this.#meanN, this.#meanD] = [mean(logN), mean(logD)];
    this.#logN = logN.map((value) => value - this.#meanN);
    this.#logD = logD.map((value) => value - this.#meanD);
    this.#logLoss = logs((run) => run.loss);
  }

  /** The sum over the runs of Huber(log L̂ − log L). */
  readonly objective = (x: Float64Array, gradient: Float64Array): number => {
    gradient.fill(0);
    let sum = 0;
    for (let i = 0; i < this.#logLoss.length; i++) {
      const u = this.#logN[i]!;
      const v = this.#logD[i]!;
      const [inN, inD, inE] = [x[0]! - x[3]! * u, x[1]! - x[4]! * v, x[2]!];
      const most = Math.max(inN, inD, inE);
      const [n, d, e] = [Math.exp(inN - most), Math.exp(inD - most), Math.exp(inE - most)];
      const residual = most + Math.log(n + d + e) - this.#logLoss[i]!;
      const slope = Math.max(-HUBER_DELTA, Math.min(HUBER_DELTA, residual));
      sum += slope === residual ? 0.5 * residual * residual : HUBER_DELTA * (Math.abs(residual) - 0.5 * HUBER_DELTA);
      const share = slope / (n + d + e);
      gradient[0]! += share * n;
      gradient[1]! += share * d;
      gradient[2]! += share * e;
      gradient[3]! -= share * n * u;
      gradient[4]! -= share * d * v;
    }
    return sum;
  };

  starts(): Float64Array[] {
    const { a, b, e, alpha, beta } = STARTS;
    return a.flatMap((a0) => b.flatMap((b0) => e.flatMap((e0) => alpha.flatMap((alpha0) => beta.map((beta0) => this.#centred(a0, b0, e0, alpha0, beta0))))));
  }

  startAt({ E, A, B, alpha, beta }: LawConstants): Float64Array {
    return this.#centred(Math.log(A), Math.log(B), Math.log(E), alpha, beta);
  }

  fit({ x, value }: Minimum): LawFit {
    const [a, b, e, alpha, beta] = [x[0]!, x[1]!, x[2]!, x[3]!, x[4]!];
    const constants = { E: Math.exp(e), A: Math.exp(a + alpha * this.#meanN), B: Math.exp(b + beta * this.#meanD), alpha, beta };
    const residuals = Array.from(
      this.#logLoss,
      (observed, i) => Math.log(Math.exp(a - alpha * this.#logN[i]!) + Math.exp(b - beta * this.#logD[i]!) + Math.exp(e)) - observed,
    );
    return { constants, objective: value, residuals };
  }

  #centred(a: number, b: number, e: number, alpha: number, beta: number): Float64Array {
    return Float64Array.of(a - alpha * this.#meanN, b - beta * this.#meanD, e, alpha, beta);
  }
}

/** The range of compute that the runs cover, in FLOPs. */
export function computeRange(runs: readonly ScalingRun[]): { readonly least: number; readonly most: number } {
  const flops = runs.map((run) => trainingFlops(run.parameters, run.tokens));
  return { least: Math.min(...flops), most: Math.max(...flops) };
}

/** How sure a fit is: the same fit on runs drawn anew with replacement, again and again. */
import { Random } from "../base/random.ts";
import { refitLaw, type ScalingRun } from "./scaling-fit.ts";
import type { LawConstants } from "./scaling-law.ts";

/** The constants of one resample after the other, each begun at the constants of the full fit. */
export function* bootstrapFits(runs: readonly ScalingRun[], from: LawConstants, resamples: number, seed: number): Generator<LawConstants> {
  const random = Random.named(seed, "scaling-bootstrap");
  for (let i = 0; i < resamples; i++) {
    const drawn = runs.map(() => runs[random.integer(runs.length)]!);
    yield refitLaw(drawn, from).constants;
  }
}

/** The middle `share` of a quantity. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** The percentile interval of any figure of the resampled constants. */
export function intervalOf(fits: readonly LawConstants[], figure: (constants: LawConstants) => number, share = 0.95): Interval {
  const values = fits.map(figure).toSorted((p, q) => p - q);
  return { low: quantile(values, (1 - share) / 2), high: quantile(values, (1 + share) / 2) };
}

/** A quantile of sorted values, straight between neighbours. */
function quantile(sorted: readonly number[], at: number): number {
  const place = at * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below]!;
  return low + (place - below) * ((sorted[below + 1] ?? low) - low);
}

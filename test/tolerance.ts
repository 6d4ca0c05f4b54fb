/** Every tolerance of the test suite, each with its reason; loosened only in a commit of its own that says why. */

export interface Tolerance {
  readonly absolute: number;
  readonly relative: number;
}

/** Logits: float32 noise of the reference itself against float64 is 3e-6 … 3e-5 on logits up to 25. */
export const LOGITS: Tolerance = { absolute: 1e-4, relative: 1e-5 };

/**
 * Logits of a model stored in half precision against the same in float32, relative to the largest logit: weights are
 * rounded by up to 2⁻¹² (F16) or 2⁻⁹ (BF16) of themselves, and small models with logits of cancelling terms show up to
 * ten times that.
 */
export const HALF_LOGITS: Readonly<Record<"F16" | "BF16", number>> = { F16: 10 * 2 ** -12, BF16: 10 * 2 ** -9 };

/** Mean loss: the reference's own noise is below 2e-6. */
export const LOSS: Tolerance = { absolute: 1e-5, relative: 0 };

/** Gradients, relative to the largest gradient of the same tensor: the reference's noise is up to 1e-5 of it. */
export const GRADIENT_OF_MAXIMUM: number = 1e-4;

/** Losses over 20 AdamW steps: rounding differences are fed back 20 times. */
export const TRAINING_LOSS: Tolerance = { absolute: 1e-4, relative: 0 };

/** Weights after 20 AdamW steps: Adam amplifies the sign noise of near-zero gradients. */
export const TRAINED_WEIGHT: Tolerance = { absolute: 1e-4, relative: 0 };

/** A gradient rule against central differences, both in float64: a wrong rule is off by far more. */
export const CENTRAL_DIFFERENCE: Tolerance = { absolute: 1e-7, relative: 1e-7 };

/** One operator on a float32 device against the float64 interpreter, relative to the largest output. */
export const OPERATOR_OF_MAXIMUM: number = 2e-5;

/**
 * A product with int8 weights on the CPU, relative to the largest output: each factor of a row is rounded by up to 1/254 of
 * the row's largest, and over a handful of terms these errors do not cancel. Its gradient is such a product of such products.
 */
export const INT8_PRODUCT_OF_MAXIMUM: number = 2e-2;

/** Loss of a step whose frozen layers are computed in int8, relative to the exact one: the errors of single tokens average out. */
export const FAST_LOSS: number = 1e-2;

/**
 * Gradients of such a step, by the norm of the difference over the exact norm, per tensor. A product of normal numbers is off
 * by 1 % (weights and rows by 0.7 % each, of uniform rounding in steps of 3 to 4 deviations over 127), which adds up over some
 * twenty products there and back to 5 %; softmax over large scores makes up to 12 % of it in the golden models, whose weights
 * are large and whose rows are narrow. Codes up to 63, 31 and 15 give 1.4, 2.9 and 5.5 times that, as rounding must.
 */
export const FAST_GRADIENT: number = 0.15;

/** Activation functions on [-8, 8] and their derivatives in float32, where tanh and erf of the device round. */
export const ACTIVATION: Tolerance = { absolute: 2e-6, relative: 2e-6 };

/** Sums of squares and clipped gradients: single roundings in float32. */
export const CLIPPING: Tolerance = { absolute: 1e-7, relative: 1e-6 };

/** W + s·B·A: one product of rank r and one addition in float32, on weights below 1. */
export const MERGED_WEIGHT: Tolerance = { absolute: 1e-6, relative: 1e-5 };

/** Gradient norms over 20 AdamW steps: as the losses, with norms up to 10. */
export const TRAINING_NORM: Tolerance = { absolute: 1e-4, relative: 1e-4 };

/**
 * The same over a base in four bits, whose cases the reference itself follows in float32 forty times less closely (its losses
 * are 4e-5 from float64 where the others are 1e-6): their loss surface is rougher, and AdamW's signs amplify it.
 */
export const QUANTIZED_TRAINING_NORM: Tolerance = { absolute: 1e-3, relative: 1e-3 };

/** Second derivatives against differences of first ones, in float64: the differences themselves are good to 1e-7. */
export const SECOND_DIFFERENCE: Tolerance = { absolute: 1e-6, relative: 1e-6 };

/** Quantities that are computed in float64 on both sides (schedules, ratings). */
export const FLOAT64: Tolerance = { absolute: 1e-12, relative: 1e-12 };

/** Scores after one float32 operation on either side: at most one rounding apart. */
export const SCORE: Tolerance = { absolute: 1e-7, relative: 2e-7 };

/** Probabilities of a softmax that the reference computes in float32 over a few dozen entries. */
export const PROBABILITY: Tolerance = { absolute: 1e-6, relative: 1e-5 };

/**
 * Optima of a published law against the tables of its paper: the tables were made with exponents of more digits than
 * are printed, and an anchor and an exponent of two digits stand for a whole table over nine orders of magnitude.
 */
export const PUBLISHED_OPTIMUM: Tolerance = { absolute: 0, relative: 0.05 };

/**
 * Table A3 of Hoffmann et al. against the constants of their approach 3: A and B are known to four digits only, the
 * table's own FLOPs depart by up to 4 % from 6·N·D, and both add up over six orders of magnitude.
 */
export const PUBLISHED_TABLE: Tolerance = { absolute: 0, relative: 0.11 };

/** Places of minima: where a function is flat to the last bit of a double, its argument is known to half as many digits. */
export const MINIMUM_PLACE: Tolerance = { absolute: 1e-6, relative: 1e-6 };

/** Constants of a law fitted to losses that follow it exactly: the minimum of Huber losses is flat, and A moves with α. */
export const FITTED_CONSTANT: Tolerance = { absolute: 1e-4, relative: 1e-3 };

/** The worst excess over the tolerance (≤ 1 passes), its index and the two values there. */
export function worstExcess(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
): { excess: number; index: number; actual: number; expected: number } {
  let worst = { excess: 0, index: -1, actual: 0, expected: 0 };
  if (actual.length !== expected.length) return { excess: Infinity, index: -1, actual: actual.length, expected: expected.length };
  for (let i = 0; i < actual.length; i++) {
    const a = actual[i]!;
    const e = expected[i]!;
    const difference = Math.abs(a - e) / (tolerance.absolute + tolerance.relative * Math.abs(e));
    const excess = Number.isNaN(difference) ? Infinity : difference;
    if (excess > worst.excess) worst = { excess, index: i, actual: a, expected: e };
  }
  return worst;
}

/** Dropout whose mask is computed in the graph from a few numbers per run, so that it repeats and costs no transfer. */
import { Random } from "../base/random.ts";
import { constant, floor, input, lessOrEqual, mul, scalar, scale, sub, where } from "../core/operations.ts";
import { numeric, type Dim } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";

/** Name of the graph input with one number per row, drawn anew for every run. */
export const DROPOUT_ROWS = "dropout.rows";

/** How far the product of two numbers in [1, 2) is spread before its fraction is taken. */
const SPREAD = 1024;

/**
 * A dropout function (Srivastava et al. 2014) for tensors [rows, C] of one graph. Element (i, j) at a place is kept when
 * frac(SPREAD·aᵢ·bⱼ) ≥ rate: aᵢ is fed per run, bⱼ is fixed per place. The kept ones are scaled by 1/(1 − rate).
 */
export function dropoutFrom(rows: Dim): (x: Tensor, rate: number, path: string) => Tensor {
  const a = input(DROPOUT_ROWS, "float32", [rows, 1]);
  return (x, rate, path) => {
    const width = numeric(x.shape[1], "the width of a dropped tensor");
    const random = Random.named(0, path);
    const b = constant({ dtype: "float32", shape: [1, width], data: Float32Array.from({ length: width }, () => SPREAD * (1 + random.uniform())) });
    const spread = mul(a, b);
    const keep = lessOrEqual(scalar(rate), sub(spread, floor(spread)));
    return where(keep, scale(x, 1 / (1 - rate)), scalar(0));
  };
}

/** The numbers to feed as `DROPOUT_ROWS`, [rows, 1]. */
export function dropoutRows(rows: number, seed: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: rows }, () => 1 + random.uniform());
}

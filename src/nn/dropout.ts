/** Dropout whose mask is computed in the graph from a few numbers per run, so that it repeats and costs no transfer. */
import { Random } from "../base/random.ts";
import { add, constant, floor, gather, input, lessOrEqual, mul, scalar, scale, sub, where } from "../core/operations.ts";
import { numeric, type Dim } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";

/** Name of the graph input with one number per row, drawn anew for every run. */
export const DROPOUT_ROWS = "dropout.rows";

/** How far a product of two numbers in [1, 2) is spread before its fraction is taken: 12 bits of float32 are left for it. */
const SPREAD = 1024;

/**
 * A dropout function (Srivastava et al. 2014) for tensors [rows, C] of one graph. Element (i, j) at a place is kept when
 * vᵢⱼ ≥ rate; the kept ones are scaled by 1/(1 − rate). With S = `SPREAD`, and aᵢ fed per run, bⱼ and dⱼ fixed per place:
 *
 *   uᵢⱼ = frac(S·aᵢ·bⱼ),  cᵢ = ½ + ½·frac(4S·aᵢ),  vᵢⱼ = frac(S·(1 + uᵢⱼ)·(cᵢ + dⱼ))
 *
 * One round alone would give rows (columns) of nearly equal aᵢ (bⱼ) nearly equal masks.
 * A tensor of only some of the rows, those that `picked` [N] numbers, has their aᵢ.
 */
export function dropoutFrom(rows: Dim, picked?: Tensor): (x: Tensor, rate: number, path: string) => Tensor {
  const all = input(DROPOUT_ROWS, "float32", [rows, 1]);
  const some = picked === undefined ? undefined : gather(all, picked);
  return (x, rate, path) => {
    const a = some !== undefined && x.shape[0] === some.shape[0] ? some : all;
    const c = add(scalar(0.5), scale(fraction(scale(a, 4 * SPREAD)), 0.5));
    const width = numeric(x.shape[1], "the width of a dropped tensor");
    const random = Random.named(0, path);
    const perColumn = (draw: () => number): Tensor => constant({ dtype: "float32", shape: [1, width], data: Float32Array.from({ length: width }, draw) });
    const b = perColumn(() => SPREAD * (1 + random.uniform()));
    const d = perColumn(() => 0.5 + 0.5 * random.uniform());
    const u = fraction(mul(a, b));
    const v = fraction(mul(scale(add(scalar(1), u), SPREAD), add(c, d)));
    return where(lessOrEqual(scalar(rate), v), scale(x, 1 / (1 - rate)), scalar(0));
  };
}

const fraction = (x: Tensor): Tensor => sub(x, floor(x));

/** The numbers to feed as `DROPOUT_ROWS`, [rows, 1]. */
export function dropoutRows(rows: number, seed: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: rows }, () => 1 + random.uniform());
}

/** The tensor functions: one per operator, and the few shorthands that every layer uses. */
import type { Dtype, HostTensor } from "./dtype.ts";
import { axisOf, type Dim, sameShape, type Shape } from "./shape.ts";
import { shapeRules } from "./shape-rules.ts";
import type { OperatorName, Operators, Tensor } from "./tensor.ts";

let created = 0;

/** Makes a node; its shape and type come from the operator's shape rule. */
export function node<Op extends OperatorName>(op: Op, inputs: readonly Tensor[], attributes: Operators[Op]): Tensor<Op> {
  const { shape, dtype } = shapeRules[op](inputs, attributes);
  return { op, inputs, attributes, shape, dtype, id: created++ };
}

export const input = (name: string, dtype: Dtype, shape: Shape): Tensor<"input"> => node("input", [], { name, dtype, shape });
export const parameter = (name: string, shape: Shape): Tensor<"parameter"> => node("parameter", [], { name, shape });
/** The int8 codes of a quantised weight, in a file under this name. */
export const parameterCodes = (name: string, shape: Shape): Tensor<"parameter"> => node("parameter", [], { name, shape, dtype: "int8" });
export const constant = (value: HostTensor): Tensor => node("constant", [], { value });
/** A float32 constant of rank 0. */
export const scalar = (value: number): Tensor => constant({ dtype: "float32", shape: [], data: Float32Array.of(value) });
/** An int32 constant of rank 0. */
export const integer = (value: number): Tensor => constant({ dtype: "int32", shape: [], data: Int32Array.of(value) });

export const neg = (x: Tensor): Tensor => node("neg", [x], {});
export const exp = (x: Tensor): Tensor => node("exp", [x], {});
export const log = (x: Tensor): Tensor => node("log", [x], {});
export const sqrt = (x: Tensor): Tensor => node("sqrt", [x], {});
export const reciprocal = (x: Tensor): Tensor => node("reciprocal", [x], {});
export const tanh = (x: Tensor): Tensor => node("tanh", [x], {});
export const sigmoid = (x: Tensor): Tensor => node("sigmoid", [x], {});
export const erf = (x: Tensor): Tensor => node("erf", [x], {});
export const floor = (x: Tensor): Tensor => node("floor", [x], {});
/** x · sigmoid(x) (Elfwing et al. 2017; "swish"). */
export const silu = (x: Tensor): Tensor => node("silu", [x], {});
/** The value passes, the gradient does not. */
export const stopGradient = (x: Tensor): Tensor => node("stopGradient", [x], {});
export const cast = (x: Tensor, to: Dtype): Tensor => node("cast", [x], { to });

export const add = (a: Tensor, b: Tensor): Tensor => node("add", [a, b], {});
export const sub = (a: Tensor, b: Tensor): Tensor => node("sub", [a, b], {});
export const mul = (a: Tensor, b: Tensor): Tensor => node("mul", [a, b], {});
export const div = (a: Tensor, b: Tensor): Tensor => node("div", [a, b], {});
export const scale = (x: Tensor, factor: number): Tensor => (factor === 1 ? x : mul(x, scalar(factor)));
export const equal = (a: Tensor, b: Tensor): Tensor => node("equal", [a, b], {});
export const lessOrEqual = (a: Tensor, b: Tensor): Tensor => node("lessOrEqual", [a, b], {});
export const and = (a: Tensor, b: Tensor): Tensor => node("and", [a, b], {});
export const where = (condition: Tensor, a: Tensor, b: Tensor): Tensor => node("where", [condition, a, b], {});

export const reshape = (x: Tensor, shape: Shape): Tensor => (sameShape(x.shape, shape) ? x : node("reshape", [x], { shape }));
export const transpose = (x: Tensor, permutation: readonly number[]): Tensor =>
  permutation.every((axis, i) => axis === i) ? x : node("transpose", [x], { permutation });
export const expand = (x: Tensor, shape: Shape): Tensor => (sameShape(x.shape, shape) ? x : node("expand", [x], { shape }));
/** `length` elements of an axis from `start` on. */
export const slice = (x: Tensor, axis: number, start: Dim, length: Dim): Tensor =>
  x.shape[axisOf(axis, x.shape.length)] === length ? x : node("slice", [x], { axis: axisOf(axis, x.shape.length), start, length });
/** Zeros around, so that the axis becomes `length` long and x begins at `before`. */
export const pad = (x: Tensor, axis: number, before: Dim, length: Dim): Tensor =>
  x.shape[axisOf(axis, x.shape.length)] === length ? x : node("pad", [x], { axis: axisOf(axis, x.shape.length), before, length });
export const concat = (inputs: readonly Tensor[], axis: number): Tensor =>
  inputs.length === 1 ? inputs[0]! : node("concat", inputs, { axis: axisOf(axis, inputs[0]!.shape.length) });

/** Sum over axes, which stay as dimensions of 1. */
export const sum = (x: Tensor, axes: readonly number[]): Tensor =>
  axes.length === 0 ? x : node("sum", [x], { axes: axes.map((axis) => axisOf(axis, x.shape.length)) });
/** Maximum over axes, which stay as dimensions of 1. */
export const max = (x: Tensor, axes: readonly number[]): Tensor => node("max", [x], { axes: axes.map((axis) => axisOf(axis, x.shape.length)) });
/** Sum over everything, as a tensor of rank 0. */
export const sumAll = (x: Tensor): Tensor =>
  reshape(
    sum(
      x,
      x.shape.map((_, i) => i),
    ),
    [],
  );

/** a [..., M, K] · b [..., K, N] → [..., M, N]; a transposed operand is given as [..., K, M] or [..., N, K]. */
export const matmul = (a: Tensor, b: Tensor, options: { readonly transposeA?: boolean; readonly transposeB?: boolean } = {}): Tensor =>
  node("matmul", [a, b], { transposeA: options.transposeA ?? false, transposeB: options.transposeB ?? false });

/** A matrix [K, N] as int8 codes with one scale per column: W[k, n] ≈ codes[k, n] · scales[n]. */
export interface QuantizedMatrix {
  readonly codes: Tensor; // [K, N] int8
  readonly scales: Tensor; // [N]
}

/**
 * x [M, K] · W → [M, N] for a frozen W [K, N] in int8; `transposed` is Wᵀ [N, K], rounded for itself. The CPU rounds each row
 * of x to 8 bits by its own largest element (as LLM.int8 does: Dettmers et al. 2022, arXiv 2208.07339, section 2.1).
 */
export const quantizedMatmul = (x: Tensor, weight: QuantizedMatrix, transposed: QuantizedMatrix): Tensor =>
  node("quantizedMatmul", [x, weight.codes, weight.scales, transposed.codes, transposed.scales], {});
/** Rows of `table` [V, ...] at `ids` [...] → [...ids, ...]. */
export const gather = (table: Tensor, ids: Tensor): Tensor => node("gather", [table, ids], {});
/** A zero tensor [rows, ...] to which row i of `updates` [N, ...] is added at ids[i]; repeated ids add up. */
export const scatterAdd = (ids: Tensor, updates: Tensor, rows: Dim): Tensor => node("scatterAdd", [ids, updates], { rows });

/** Over the last axis. */
export const softmax = (x: Tensor): Tensor => node("softmax", [x], {});
/** log Σ exp(x) over the last axis, which stays as a dimension of 1. */
export const logSumExp = (x: Tensor): Tensor => node("logSumExp", [x], {});
/** x / sqrt(mean(x²) + ε) · weight over the last axis (Zhang & Sennrich 2019, arXiv 1910.07467). */
export const rmsNorm = (x: Tensor, weight: Tensor, epsilon: number): Tensor => node("rmsNorm", [x, weight], { epsilon });
/** (x − mean) / sqrt(var + ε) · weight + bias over the last axis (Ba et al. 2016, arXiv 1607.06450). */
export const layerNorm = (x: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor => node("layerNorm", [x, weight, bias], { epsilon });
/**
 * Rotary position embedding in the half-split layout of transformers (Su et al. 2021, arXiv 2104.09864).
 * x [B, T, H, D]; cos, sin [B, T, R/2], R ≤ D: of the first R channels, pair (i, i + R/2) is turned by its angle.
 */
export const rotary = (x: Tensor, cos: Tensor, sin: Tensor): Tensor => node("rotary", [x, cos, sin], {});

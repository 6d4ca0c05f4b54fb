/** How each operator is written in ONNX, per target. */
import { invariant } from "../base/errors.ts";
import type { Dtype } from "../core/dtype.ts";
import { type Dim, numeric, type Shape, total } from "../core/shape.ts";
import type { OperatorName, Tensor } from "../core/tensor.ts";
import { type Emitter, float, int, ints, text } from "./emitter.ts";
import { quantizedMatmul } from "./quantized-product.ts";

/** Writes the node and returns the name of its value. */
export type EmitRule<Op extends OperatorName> = (node: Tensor<Op>, inputs: readonly string[], emitter: Emitter) => string;

const ELEMENT: Readonly<Record<Dtype, number>> = { float32: 1, int32: 6, bool: 9, int8: 3 };

const plain =
  (operator: string): EmitRule<OperatorName> =>
  (_, inputs, e) =>
    e.op(operator, inputs);

const reduce =
  (operator: string): EmitRule<"sum" | "max"> =>
  (node, [x], e) =>
    e.op(operator, [x!, e.int64(node.attributes.axes)], { keepdims: int(1) });

/** Swaps the last two axes. */
function swapped(e: Emitter, name: string, rank: number): string {
  const permutation = Array.from({ length: rank }, (_, i) => i);
  permutation.push(...permutation.splice(-2).toReversed());
  return e.op("Transpose", [name], { perm: ints(permutation) });
}

/** op(A)·op(B): Gemm for matrices; for batches the fused product where the device has it. */
function matmul(node: Tensor<"matmul">, [a, b]: readonly string[], e: Emitter): string {
  const { transposeA, transposeB } = node.attributes;
  const [left, right] = node.inputs as [Tensor, Tensor];
  if (left.shape.length === 2 && right.shape.length === 2) return e.op("Gemm", [a!, b!], { transA: int(Number(transposeA)), transB: int(Number(transposeB)) });
  if (!transposeA && !transposeB) return e.op("MatMul", [a!, b!]);
  if (e.target === "cpu") return e.microsoft("FusedMatMul", [a!, b!], { transA: int(Number(transposeA)), transB: int(Number(transposeB)) });
  return e.op("MatMul", [transposeA ? swapped(e, a!, left.shape.length) : a!, transposeB ? swapped(e, b!, right.shape.length) : b!]);
}

/** Softmax over the last axis, written once per argument: logSumExp uses it too. */
function softmax(e: Emitter, x: string, shape: Shape): string {
  return e.once(`softmax ${x}`, () => e.step(e.op("Softmax", [x], { axis: int(-1) }), "float32", shape));
}

/** The half-split rotation in plain operators, for targets without the fused kernel. */
function plainRotary(node: Tensor<"rotary">, [x, cos, sin]: readonly string[], e: Emitter): string {
  const width = node.shape[3] as number;
  const half = node.inputs[1]!.shape[2] as number;
  const rest = width - 2 * half;
  const part = (from: number, to: number): string => e.op("Slice", [x!, e.int64([from]), e.int64([to]), e.int64([3])]);
  // Tables [B, T, half] apply to every head: [B, T, 1, half].
  const wide = (table: string): string => e.once(`unsqueeze ${table}`, () => e.op("Unsqueeze", [table, e.int64([2])]));
  const [c, s] = [wide(cos!), wide(sin!)];
  const [first, second] = [part(0, half), part(half, 2 * half)];
  const turned = [e.op("Sub", [e.op("Mul", [first, c]), e.op("Mul", [second, s])]), e.op("Add", [e.op("Mul", [second, c]), e.op("Mul", [first, s])])];
  if (rest > 0) turned.push(part(2 * half, width));
  return e.op("Concat", turned, { axis: int(3) });
}

/** The fused kernel takes heads side by side, [B, T, H·D]. */
function fusedRotary(node: Tensor<"rotary">, [x, cos, sin]: readonly string[], e: Emitter): string {
  const [B, T, H, D] = node.shape as [Dim, Dim, number, number];
  const flat = [B, T, H * D];
  const turned = 2 * numeric(node.inputs[1]!.shape[2], "half the rotary width");
  const attributes = { interleaved: int(0), num_heads: int(H), ...(turned < D && { rotary_embedding_dim: int(turned) }) };
  const wide = e.step(e.reshape(x!, node.shape, flat), "float32", flat);
  return e.reshape(e.step(e.op("RotaryEmbedding", [wide, cos!, sin!], attributes), "float32", flat), flat, node.shape);
}

export const emitRules: { readonly [Op in OperatorName]: EmitRule<Op> } = {
  input: (node) => node.attributes.name,
  parameter: () => invariant(false, "parameters are written by the file's writer") as never,
  constant: (node, _, e) => e.constant(node.attributes.value),
  neg: plain("Neg"),
  exp: plain("Exp"),
  log: plain("Log"),
  sqrt: plain("Sqrt"),
  reciprocal: plain("Reciprocal"),
  tanh: plain("Tanh"),
  sigmoid: plain("Sigmoid"),
  erf: plain("Erf"),
  floor: plain("Floor"),
  silu: (_, [x], e) => (e.target === "cpu" ? e.microsoft("QuickGelu", [x!], { alpha: float(1) }) : e.op("Mul", [x!, e.op("Sigmoid", [x!])])),
  stopGradient: (_, [x]) => x!,
  cast: (node, [x], e) => (node.inputs[0]!.dtype === node.attributes.to ? x! : e.op("Cast", [x!], { to: int(ELEMENT[node.attributes.to]) })),
  add: plain("Add"),
  sub: plain("Sub"),
  mul: plain("Mul"),
  div: plain("Div"),
  equal: plain("Equal"),
  lessOrEqual: plain("LessOrEqual"),
  and: plain("And"),
  where: plain("Where"),
  reshape: (node, [x], e) => e.reshape(x!, node.inputs[0]!.shape, node.attributes.shape),
  transpose: (node, [x], e) => e.op("Transpose", [x!], { perm: ints(node.attributes.permutation) }),
  expand: (node, [x], e) => e.op("Expand", [x!, e.shape(node.attributes.shape)]),
  slice: ({ attributes: { axis, start, length } }, [x], e) => e.op("Slice", [x!, e.size(start), e.size(total([start, length])), e.int64([axis])]),
  pad: (node, [x], e) => {
    const { axis, before, length } = node.attributes;
    const dim = node.inputs[0]!.shape[axis]!;
    const known = typeof before === "number" && typeof length === "number" && typeof dim === "number";
    const after = known ? e.int64([length - before - dim]) : e.op("Sub", [e.size(length), e.size(total([before, dim]))]);
    return e.op("Pad", [x!, e.op("Concat", [e.size(before), after], { axis: int(0) }), "", e.int64([axis])]);
  },
  concat: (node, inputs, e) => e.op("Concat", inputs, { axis: int(node.attributes.axis) }),
  sum: reduce("ReduceSum"),
  max: reduce("ReduceMax"),
  matmul,
  quantizedMatmul,
  gather: (_, [table, ids], e) => e.op("Gather", [table!, ids!], { axis: int(0) }),
  scatterAdd: (node, [ids, updates], e) => {
    const [N] = node.inputs[0]!.shape as [Dim];
    const zeros = e.step(e.op("ConstantOfShape", [e.shape(node.shape)]), "float32", node.shape);
    // One index per row, beside as many axes of 1 as a row has; none where a row is a single number.
    const axes = node.shape.slice(1).map((_, i) => i + 1);
    const shape = [N, ...axes.map(() => 1)];
    const column = axes.length === 0 ? ids! : e.step(e.op("Unsqueeze", [ids!, e.int64(axes)]), "int32", shape);
    const indices = e.step(e.op("Cast", [column], { to: int(7) }), "int64", shape);
    // Not ScatterND: on the CPU, where other devices fall back to, it adds rows from several threads without a lock, and rows
    // that fall on one place get lost. ScatterElements goes one by one.
    const spread = e.step(e.op("Expand", [indices, e.shape(node.inputs[1]!.shape)]), "int64", node.inputs[1]!.shape);
    return e.op("ScatterElements", [zeros, spread, updates!], { axis: int(0), reduction: text("add") });
  },
  softmax: (node, [x], e) => softmax(e, x!, node.shape),
  // The largest probability is at least 1/V, so its logarithm is safe: log Σ exp(x) = max x − log max softmax(x).
  logSumExp: (node, [x], e) => {
    const { shape } = node.inputs[0]!;
    const step = (name: string): string => e.step(name, "float32", node.shape);
    const largest = (name: string): string => step(e.op("ReduceMax", [name, e.int64([-1])], { keepdims: int(1) }));
    return e.op("Sub", [largest(x!), step(e.op("Log", [largest(softmax(e, x!, shape))]))]);
  },
  rmsNorm: (node, inputs, e) => e.op("SimplifiedLayerNormalization", inputs, { axis: int(-1), epsilon: float(node.attributes.epsilon) }),
  layerNorm: (node, inputs, e) => e.op("LayerNormalization", inputs, { axis: int(-1), epsilon: float(node.attributes.epsilon) }),
  rotary: (node, inputs, e) => (e.target === "cpu" ? fusedRotary(node, inputs, e) : plainRotary(node, inputs, e)),
};

/** At least one case per operator: what the gradient rules, the interpreter and every device are tested on. */
import type { HostTensor } from "../src/core/dtype.ts";
import * as T from "../src/core/operations.ts";
import type { Shape } from "../src/core/shape.ts";
import type { OperatorName, Tensor } from "../src/core/tensor.ts";
import { Random } from "../src/base/random.ts";

/** A float input: drawn uniformly from [low, high]; `shape` may hold symbols, bound by `size`. */
interface FloatInput {
  readonly shape: readonly number[];
  readonly symbols?: Shape;
  readonly low?: number;
  readonly high?: number;
}

export interface OperatorCase {
  readonly name: string;
  readonly inputs: readonly FloatInput[];
  /** Integer inputs, given as they are. */
  readonly ids?: readonly (readonly number[])[];
  readonly compute: (floats: readonly Tensor[], ids: readonly Tensor[]) => Tensor;
  /** Which float inputs have a gradient; all by default. */
  readonly differentiable?: readonly number[];
}

const at = (shape: readonly number[], low = -1.5, high = 1.5): FloatInput => ({ shape, low, high });

function unary(f: (x: Tensor) => Tensor, low?: number, high?: number): OperatorCase[] {
  return [{ name: "", inputs: [at([3, 5], low, high)], compute: ([x]) => f(x!) }];
}

function binary(f: (a: Tensor, b: Tensor) => Tensor, low?: number, high?: number): OperatorCase[] {
  const shapes = [
    [
      [3, 5],
      [3, 5],
    ],
    [[2, 3, 4], [4]],
    [
      [2, 3, 1],
      [1, 4],
    ],
    [[3, 5], []],
    [
      [1, 5],
      [3, 5],
    ],
  ] as const;
  return shapes.map(([a, b]) => ({ name: `[${a.join()}] and [${b.join()}]`, inputs: [at(a, low, high), at(b, low, high)], compute: ([x, y]) => f(x!, y!) }));
}

const notDifferentiable = (shape: readonly number[], f: (x: Tensor) => Tensor): OperatorCase[] => [
  { name: "", inputs: [at(shape)], compute: ([x]) => f(x!), differentiable: [] },
];

function products(): OperatorCase[] {
  const cases: OperatorCase[] = [];
  for (const batch of [[], [2], [2, 3]]) {
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        const a = transposeA ? [5, 4] : [4, 5];
        const b = transposeB ? [3, 5] : [5, 3];
        cases.push({
          name: `batch [${batch}]${transposeA ? " transposeA" : ""}${transposeB ? " transposeB" : ""}`,
          inputs: [at([...batch, ...a]), at([...batch, ...b])],
          compute: ([x, y]) => T.matmul(x!, y!, { transposeA, transposeB }),
        });
      }
    }
  }
  cases.push({ name: "broadcast batch", inputs: [at([2, 3, 4, 5]), at([1, 3, 5, 2])], compute: ([x, y]) => T.matmul(x!, y!) });
  cases.push({ name: "broadcast batch transposeB", inputs: [at([2, 3, 4, 5]), at([2, 1, 2, 5])], compute: ([x, y]) => T.matmul(x!, y!, { transposeB: true }) });
  cases.push({
    name: "added to a matrix with a factor",
    inputs: [at([4, 5]), at([3, 5]), at([4, 3])],
    compute: ([x, y, z]) => T.add(z!, T.scale(T.matmul(x!, y!, { transposeB: true }), 0.5)),
  });
  cases.push({
    name: "subtracted and a bias",
    inputs: [at([4, 5]), at([5, 3]), at([3])],
    compute: ([x, y, z]) => T.add(T.neg(T.matmul(x!, y!)), z!),
  });
  cases.push({
    name: "into a product with a factor per row",
    inputs: [at([4, 3]), at([6, 3]), at([4, 1])],
    compute: ([x, y, r]) => T.mul(T.softmax(T.matmul(x!, y!, { transposeB: true })), r!),
  });
  cases.push({
    name: "whose gradient has a factor per row",
    inputs: [at([4, 3]), at([6, 3]), at([4, 1])],
    compute: ([x, y, r]) => T.mul(T.logSumExp(T.matmul(x!, y!, { transposeB: true })), r!),
  });
  cases.push({
    name: "whose gradient has a factor per row, not transposed",
    inputs: [at([4, 3]), at([3, 6]), at([4, 1])],
    compute: ([x, y, r]) => T.mul(T.logSumExp(T.matmul(x!, y!)), r!),
  });
  cases.push({
    name: "two products and a sum",
    inputs: [at([4, 5]), at([5, 3]), at([4, 2]), at([2, 3])],
    compute: ([a, b, c, d]) => T.add(T.matmul(a!, b!), T.matmul(c!, d!)),
  });
  return cases;
}

const reductions = (f: (x: Tensor, axes: readonly number[]) => Tensor): OperatorCase[] =>
  [[0], [1], [-1], [0, 2], [0, 1, 2]].map((axes) => ({ name: `axes ${axes}`, inputs: [at([2, 3, 4])], compute: ([x]) => f(x!, axes) }));

/** A weight of codes drawn at random, with one scale for all: then its transpose is exactly the other way round. */
function quantized(K: number, N: number): [weight: T.QuantizedMatrix, transposed: T.QuantizedMatrix] {
  const random = new Random(K * N);
  const codes = Int8Array.from({ length: K * N }, () => random.integer(255) - 127);
  const matrix = (shape: [number, number], data: Int8Array): T.QuantizedMatrix => ({
    codes: T.constant({ dtype: "int8", shape, data }),
    scales: T.constant({ dtype: "float32", shape: [shape[1]], data: new Float32Array(shape[1]).fill(0.01) }),
  });
  return [
    matrix([K, N], codes),
    matrix(
      [N, K],
      codes.map((_, i) => codes[(i % K) * N + Math.floor(i / K)]!),
    ),
  ];
}

/** The first row of x becomes zeros. */
const zeroRow = (x: Tensor): Tensor =>
  T.mul(
    x,
    T.scatterAdd(
      T.constant({ dtype: "int32", shape: [3], data: Int32Array.of(1, 2, 3) }),
      T.constant({ dtype: "float32", shape: [3, 1], data: Float32Array.of(1, 1, 1) }),
      "N",
    ),
  );

const nonZero: OperatorCase["compute"] = ([a, b]) => T.div(a!, b!);

export const operatorCases: { readonly [Op in OperatorName]: readonly OperatorCase[] } = {
  input: [{ name: "", inputs: [at([2, 3])], compute: ([x]) => x! }],
  parameter: [{ name: "as a constant", inputs: [at([2, 3])], compute: ([x]) => T.mul(x!, T.scalar(2)) }],
  constant: [{ name: "", inputs: [at([2, 3])], compute: ([x]) => T.add(x!, T.constant({ dtype: "float32", shape: [3], data: Float32Array.of(1, 2, 3) })) }],
  neg: unary(T.neg),
  exp: unary(T.exp),
  log: unary(T.log, 0.2, 3),
  sqrt: unary(T.sqrt, 0.2, 3),
  reciprocal: unary(T.reciprocal, 0.4, 3),
  tanh: unary(T.tanh, -3, 3),
  sigmoid: unary(T.sigmoid, -6, 6),
  erf: unary(T.erf, -4, 4),
  floor: notDifferentiable([3, 5], T.floor),
  silu: unary(T.silu, -6, 6),
  stopGradient: notDifferentiable([3, 5], T.stopGradient),
  cast: [
    ...notDifferentiable([3, 5], (x) => T.cast(T.cast(x, "int32"), "float32")),
    ...notDifferentiable([3, 5], (x) => T.cast(T.lessOrEqual(x, T.scalar(0)), "float32")),
  ],
  add: binary(T.add),
  sub: binary(T.sub),
  mul: binary(T.mul),
  div: [...binary(T.div, 0.5, 2), { name: "negative numerator", inputs: [at([3, 4], -2, 2), at([3, 4], 0.5, 2)], compute: nonZero }],
  equal: notDifferentiable([4, 4], (x) => T.cast(T.equal(T.floor(x), T.scalar(-1)), "float32")),
  lessOrEqual: notDifferentiable([4, 4], (x) => T.cast(T.lessOrEqual(x, T.scalar(0.1)), "float32")),
  and: notDifferentiable([4, 4], (x) => T.cast(T.and(T.lessOrEqual(x, T.scalar(0.5)), T.lessOrEqual(T.scalar(-0.5), x)), "float32")),
  where: [
    {
      name: "",
      inputs: [at([3, 4]), at([3, 4]), at([4])],
      compute: ([c, a, b]) => T.where(T.lessOrEqual(c!, T.scalar(0)), a!, b!),
      differentiable: [1, 2],
    },
  ],
  reshape: [
    { name: "", inputs: [at([2, 3, 4])], compute: ([x]) => T.mul(T.reshape(x!, [6, 4]), T.scalar(2)) },
    {
      name: "symbolic",
      inputs: [{ shape: [2, 3, 4], symbols: ["B", "T", 4] }],
      compute: ([x]) => T.exp(T.reshape(T.neg(T.reshape(T.exp(x!), ["B*T", 4])), ["B", "T", 2, 2])),
    },
  ],
  transpose: [
    [1, 0, 2],
    [2, 0, 1],
    [0, 2, 1],
  ].map((permutation) => ({ name: `${permutation}`, inputs: [at([2, 3, 4])], compute: ([x]) => T.transpose(x!, permutation) })),
  expand: [
    { name: "", inputs: [at([3, 1])], compute: ([x]) => T.expand(x!, [2, 3, 4]) },
    { name: "symbolic", inputs: [{ shape: [2, 3], symbols: ["B", 3] }], compute: ([x]) => T.expand(T.sum(x!, [0]), ["B", 3]) },
  ],
  slice: [0, 1, 2]
    .map((axis): OperatorCase => ({ name: `axis ${axis}`, inputs: [at([3, 4, 5])], compute: ([x]) => T.slice(x!, axis, 1, 2) }))
    .concat([{ name: "symbolic", inputs: [{ shape: [2, 8, 3], symbols: ["B", "4*Q", 3] }], compute: ([x]) => T.slice(x!, 1, "Q", "2*Q") }]),
  pad: [0, 2]
    .map((axis): OperatorCase => ({ name: `axis ${axis}`, inputs: [at([2, 3, 2])], compute: ([x]) => T.pad(x!, axis, 1, axis === 0 ? 5 : 4) }))
    .concat([
      {
        name: "symbolic",
        inputs: [{ shape: [2, 8, 3], symbols: ["B", "4*Q", 3] }],
        compute: ([x]) => T.pad(T.slice(x!, 1, 0, "2*Q"), 1, "Q", "4*Q"),
      },
    ]),
  concat: [0, 1].map((axis) => ({
    name: `axis ${axis}`,
    inputs: [at(axis === 0 ? [1, 3] : [2, 1]), at([2, 3]), at(axis === 0 ? [3, 3] : [2, 2])],
    compute: (parts) => T.concat(parts, axis),
  })),
  sum: reductions(T.sum),
  max: reductions(T.max),
  matmul: products(),
  quantizedMatmul: [
    { name: "", inputs: [at([4, 5])], compute: ([x]) => T.quantizedMatmul(x!, ...quantized(5, 3)), differentiable: [0] },
    {
      name: "symbolic rows, one of them zero",
      inputs: [{ shape: [4, 8], symbols: ["N", 8] }],
      compute: ([x]) => T.quantizedMatmul(zeroRow(x!), ...quantized(8, 6)),
    },
    {
      name: "whose gradient has a factor per row",
      inputs: [at([4, 3]), at([4, 1])],
      compute: ([x, r]) => T.mul(T.logSumExp(T.quantizedMatmul(x!, ...quantized(3, 7))), r!),
    },
  ],
  gather: [
    { name: "vector of ids", inputs: [at([5, 3])], ids: [[4, 0, 4, 2]], compute: ([table], [ids]) => T.gather(table!, ids!) },
    { name: "matrix of ids", inputs: [at([5, 3])], ids: [[4, 0, 4, 2]], compute: ([table], [ids]) => T.gather(table!, T.reshape(ids!, [2, 2])) },
  ],
  scatterAdd: [
    { name: "repeated ids", inputs: [at([6, 3])], ids: [[4, 0, 4, 2, 4, 4]], compute: ([updates], [ids]) => T.scatterAdd(ids!, updates!, 5) },
    { name: "single numbers", inputs: [at([6])], ids: [[4, 0, 4, 2, 4, 4]], compute: ([updates], [ids]) => T.scatterAdd(ids!, updates!, 5) },
    { name: "rows that are matrices", inputs: [at([4, 2, 3])], ids: [[1, 0, 1, 2]], compute: ([updates], [ids]) => T.scatterAdd(ids!, updates!, 3) },
    {
      name: "symbolic rows",
      inputs: [{ shape: [4, 3], symbols: ["N", 3] }],
      ids: [[3, 0]],
      compute: ([x], [ids]) => T.scatterAdd(ids!, T.gather(x!, ids!), "N"),
    },
  ],
  softmax: [
    { name: "", inputs: [at([3, 5], -4, 4)], compute: ([x]) => T.softmax(x!) },
    { name: "rank 4", inputs: [at([2, 2, 3, 4], -4, 4)], compute: ([x]) => T.softmax(x!) },
  ],
  logSumExp: [
    { name: "", inputs: [at([3, 5], -4, 4)], compute: ([x]) => T.logSumExp(x!) },
    { name: "far from zero", inputs: [at([3, 5], 90, 96)], compute: ([x]) => T.logSumExp(x!) },
  ],
  rmsNorm: [
    { name: "", inputs: [at([3, 8]), at([8])], compute: ([x, w]) => T.rmsNorm(x!, w!, 1e-5) },
    { name: "rank 4", inputs: [at([2, 2, 2, 6]), at([6])], compute: ([x, w]) => T.rmsNorm(x!, w!, 1e-6) },
  ],
  layerNorm: [{ name: "", inputs: [at([3, 8]), at([8]), at([8])], compute: ([x, w, b]) => T.layerNorm(x!, w!, b!, 1e-5) }],
  rotary: [4, 2].map((half) => ({
    name: half === 4 ? "whole head" : "part of the head",
    inputs: [at([2, 3, 2, 8]), at([2, 3, half]), at([2, 3, half])],
    compute: ([x, cos, sin]) => T.rotary(x!, cos!, sin!),
    differentiable: [0],
  })),
};

/** The graph of a case and its feeds, drawn with a fixed seed. */
export function buildCase(
  operatorCase: OperatorCase,
  seed: number,
): { readonly y: Tensor; readonly floats: readonly Tensor[]; readonly feeds: Record<string, HostTensor> } {
  const random = new Random(seed);
  const feeds: Record<string, HostTensor> = {};
  const floats = operatorCase.inputs.map(({ shape, symbols, low = -1.5, high = 1.5 }, i) => {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => low + (high - low) * random.uniform());
    feeds[`x${i}`] = { dtype: "float32", shape, data };
    return T.input(`x${i}`, "float32", symbols ?? shape);
  });
  const ids = (operatorCase.ids ?? []).map((list, i) => {
    feeds[`ids${i}`] = { dtype: "int32", shape: [list.length], data: Int32Array.from(list) };
    return T.input(`ids${i}`, "int32", [list.length]);
  });
  return { y: operatorCase.compute(floats, ids), floats, feeds };
}

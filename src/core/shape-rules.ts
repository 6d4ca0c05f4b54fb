/** The shape and element type of every operator's output. */
import { invariant } from "../base/errors.ts";
import type { Dtype } from "./dtype.ts";
import { axisOf, broadcast, type Dim, formatShape, numeric, product, sameShape, type Shape, total } from "./shape.ts";
import type { OperatorName, Operators, Tensor } from "./tensor.ts";

export interface Typed {
  readonly shape: Shape;
  readonly dtype: Dtype;
}

type ShapeRule<Op extends OperatorName> = (inputs: readonly Tensor[], attributes: Operators[Op]) => Typed;

const same = ([x]: readonly Tensor[]): Typed => ({ shape: x!.shape, dtype: x!.dtype });

const binary = ([a, b]: readonly Tensor[]): Typed => {
  invariant(a!.dtype === b!.dtype, `operands are ${a!.dtype} and ${b!.dtype}`);
  return { shape: broadcast(a!.shape, b!.shape), dtype: a!.dtype };
};

const comparison = (inputs: readonly Tensor[]): Typed => ({ shape: binary(inputs).shape, dtype: "bool" });

const reduction = ([x]: readonly Tensor[], { axes }: { readonly axes: readonly number[] }): Typed => {
  const reduced = new Set(axes.map((axis) => axisOf(axis, x!.shape.length)));
  return { shape: x!.shape.map((dim, i) => (reduced.has(i) ? 1 : dim)), dtype: x!.dtype };
};

/** Whether `part` elements from `start` on lie in `whole`, as far as that can be known before a run. */
function fits(start: Dim, part: Dim, whole: Dim): boolean {
  if (typeof start === "number" && start < 0) return false;
  if (typeof part === "number" && part <= 0) return false;
  return typeof start === "string" || typeof part === "string" || typeof whole === "string" || start + part <= whole;
}

function withDim(shape: Shape, axis: number, dim: Dim): Shape {
  return shape.map((old, i) => (i === axis ? dim : old));
}

export const shapeRules: { readonly [Op in OperatorName]: ShapeRule<Op> } = {
  input: (_, { dtype, shape }) => ({ dtype, shape }),
  parameter: (_, { shape, dtype }) => ({ dtype: dtype ?? "float32", shape }),
  constant: (_, { value }) => ({ dtype: value.dtype, shape: value.shape }),
  neg: same,
  exp: same,
  log: same,
  sqrt: same,
  reciprocal: same,
  tanh: same,
  sigmoid: same,
  erf: same,
  floor: same,
  silu: same,
  stopGradient: same,
  cast: ([x], { to }) => ({ shape: x!.shape, dtype: to }),
  add: binary,
  sub: binary,
  mul: binary,
  div: binary,
  equal: comparison,
  lessOrEqual: comparison,
  and: comparison,
  where: ([condition, a, b]) => {
    const values = binary([a!, b!]);
    invariant(condition!.dtype === "bool", `where needs a bool condition, got ${condition!.dtype}`);
    return { shape: broadcast(condition!.shape, values.shape), dtype: values.dtype };
  },
  reshape: ([x], { shape }) => {
    invariant(product(x!.shape) === product(shape), `cannot reshape ${formatShape(x!.shape)} into ${formatShape(shape)}`);
    return { shape, dtype: x!.dtype };
  },
  transpose: ([x], { permutation }) => {
    invariant(permutation.length === x!.shape.length && new Set(permutation).size === permutation.length, `bad permutation [${permutation.join(", ")}]`);
    return { shape: permutation.map((axis) => x!.shape[axis]!), dtype: x!.dtype };
  },
  expand: ([x], { shape }) => {
    invariant(sameShape(broadcast(x!.shape, shape), shape), `cannot expand ${formatShape(x!.shape)} to ${formatShape(shape)}`);
    return { shape, dtype: x!.dtype };
  },
  slice: ([x], { axis, start, length }) => {
    invariant(fits(start, length, x!.shape[axis]!), `slice of ${length} from ${start} of axis ${axis} of ${formatShape(x!.shape)}`);
    return { shape: withDim(x!.shape, axis, length), dtype: x!.dtype };
  },
  pad: ([x], { axis, before, length }) => {
    invariant(fits(before, x!.shape[axis]!, length), `pad of axis ${axis} of ${formatShape(x!.shape)} to ${length} from ${before}`);
    return { shape: withDim(x!.shape, axis, length), dtype: x!.dtype };
  },
  concat: (inputs, { axis }) => {
    const first = inputs[0]!;
    for (const input of inputs) {
      invariant(
        input.shape.length === first.shape.length && input.shape.every((dim, i) => i === axis || dim === first.shape[i]),
        `cannot join ${formatShape(first.shape)} and ${formatShape(input.shape)} along axis ${axis}`,
      );
    }
    return { shape: withDim(first.shape, axis, total(inputs.map((input) => input.shape[axis]!))), dtype: first.dtype };
  },
  sum: reduction,
  max: reduction,
  matmul: ([a, b], { transposeA, transposeB }) => {
    const [x, y] = [a!.shape, b!.shape];
    invariant(x.length >= 2 && y.length >= 2, `matmul needs matrices, got ${formatShape(x)} and ${formatShape(y)}`);
    const [rows, inner] = transposeA ? [x.at(-1)!, x.at(-2)!] : [x.at(-2)!, x.at(-1)!];
    const [inner2, columns] = transposeB ? [y.at(-1)!, y.at(-2)!] : [y.at(-2)!, y.at(-1)!];
    invariant(inner === inner2, `matmul of ${formatShape(x)} and ${formatShape(y)}: ${inner} against ${inner2}`);
    return { shape: [...broadcast(x.slice(0, -2), y.slice(0, -2)), rows, columns], dtype: "float32" };
  },
  quantizedMatmul: ([x, codes, scales, transposedCodes, transposedScales]) => {
    const [M, K] = x!.shape;
    const [K2, N] = codes!.shape;
    invariant(x!.shape.length === 2 && codes!.shape.length === 2 && K === K2, `product of ${formatShape(x!.shape)} and codes ${formatShape(codes!.shape)}`);
    invariant(codes!.dtype === "int8" && transposedCodes!.dtype === "int8", "a quantised weight needs int8 codes");
    invariant(
      sameShape(scales!.shape, [N!]) && sameShape(transposedCodes!.shape, [N!, K!]) && sameShape(transposedScales!.shape, [K!]),
      `scales ${formatShape(scales!.shape)} and transpose ${formatShape(transposedCodes!.shape)} of codes ${formatShape(codes!.shape)}`,
    );
    return { shape: [M!, N!], dtype: "float32" };
  },
  gather: ([table, ids]) => {
    invariant(ids!.dtype === "int32", "gather needs int32 ids");
    return { shape: [...ids!.shape, ...table!.shape.slice(1)], dtype: table!.dtype };
  },
  scatterAdd: ([ids, updates], { rows }) => {
    invariant(ids!.dtype === "int32" && ids!.shape.length === 1, "scatterAdd needs a vector of int32 ids");
    return { shape: [rows, ...updates!.shape.slice(1)], dtype: updates!.dtype };
  },
  softmax: same,
  logSumExp: ([x]) => reduction([x!], { axes: [-1] }),
  rmsNorm: ([x, weight]) => {
    invariant(sameShape(weight!.shape, x!.shape.slice(-1)), `rmsNorm of ${formatShape(x!.shape)} with weight ${formatShape(weight!.shape)}`);
    return same([x!]);
  },
  layerNorm: ([x, weight, bias]) => {
    invariant(sameShape(weight!.shape, x!.shape.slice(-1)) && sameShape(bias!.shape, weight!.shape), `layerNorm of ${formatShape(x!.shape)}`);
    return same([x!]);
  },
  rotary: ([x, cos, sin]) => {
    // x [B, T, H, D]; cos, sin [B, T, R/2] with R ≤ D: the first R channels of each head are turned.
    const [B, T, , D] = x!.shape;
    invariant(
      x!.shape.length === 4 &&
        sameShape(cos!.shape, sin!.shape) &&
        cos!.shape[0] === B &&
        cos!.shape[1] === T &&
        2 * numeric(cos!.shape[2], "half the rotary width") <= numeric(D, "head width"),
      `rotary of ${formatShape(x!.shape)} with tables ${formatShape(cos!.shape)}`,
    );
    return same([x!]);
  },
};

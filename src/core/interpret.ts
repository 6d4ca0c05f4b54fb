/** A slow float64 interpreter of the graph: the truth that operators, gradients and emitted files are tested against. */
import { invariant } from "../base/errors.ts";
import type { HostTensor } from "./dtype.ts";
import { bind, type Bindings, broadcast, evaluate, formatShape, type Shape } from "./shape.ts";
import { type OperatorName, type Operators, type Tensor, topologicalOrder } from "./tensor.ts";

/** A tensor in float64; integers and bools are held as numbers too. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

type Interpretation<Op extends OperatorName> = (inputs: readonly Values[], attributes: Operators[Op], bindings: Bindings) => Values;

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

function build(shape: readonly number[], at: (flat: number, index: number[]) => number): Values {
  const data = new Float64Array(sizeOf(shape));
  const index = shape.map(() => 0);
  for (let flat = 0; flat < data.length; flat++) {
    data[flat] = at(flat, index);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
  return { shape, data };
}

/** The element of `x` at an index of a broadcast shape. */
function stretched(x: Values, index: readonly number[]): number {
  let flat = 0;
  const offset = index.length - x.shape.length;
  for (let axis = 0; axis < x.shape.length; axis++) flat = flat * x.shape[axis]! + (x.shape[axis] === 1 ? 0 : index[axis + offset]!);
  return x.data[flat]!;
}

const elementwise =
  (f: (...values: number[]) => number) =>
  (inputs: readonly Values[]): Values => {
    const shape = inputs.map((x) => x.shape).reduce<Shape>((a, b) => broadcast(a, b), []) as number[];
    return build(shape, (_, index) => f(...inputs.map((x) => stretched(x, index))));
  };

const reduce =
  (start: number, f: (a: number, b: number) => number) =>
  ([x]: readonly Values[], { axes }: { readonly axes: readonly number[] }): Values => {
    const shape = x!.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
    const result: Values = { shape, data: new Float64Array(sizeOf(shape)).fill(start) };
    build(x!.shape, (flat, index) => {
      let target = 0;
      shape.forEach((dim, axis) => (target = target * dim + (dim === 1 ? 0 : index[axis]!)));
      result.data[target] = f(result.data[target]!, x!.data[flat]!);
      return 0;
    });
    return result;
  };

/** Applies `f` to each row (last axis). */
function rows(x: Values, width: number, f: (row: Float64Array, out: Float64Array, r: number) => void): Values {
  const C = x.shape.at(-1)!;
  const count = x.data.length / C;
  const data = new Float64Array(count * width);
  for (let r = 0; r < count; r++) f(x.data.subarray(r * C, (r + 1) * C), data.subarray(r * width, (r + 1) * width), r);
  return { shape: [...x.shape.slice(0, -1), width], data };
}

/** Abramowitz & Stegun are too coarse for central differences: the series and continued fraction give full precision. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  if (Math.abs(x) < 3) {
    let term = x;
    let total = x;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(total) && n < 200; n++) {
      term *= (-x * x) / n;
      total += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * total;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (Math.abs(x) + fraction);
  return Math.sign(x) * (1 - Math.exp(-x * x) / Math.sqrt(Math.PI) / (Math.abs(x) + fraction));
}

function matmul(a: Values, b: Values, transposeA: boolean, transposeB: boolean): Values {
  const [am, ak] = [a.shape.at(transposeA ? -1 : -2)!, a.shape.at(transposeA ? -2 : -1)!];
  const bn = b.shape.at(transposeB ? -2 : -1)!;
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2)) as number[];
  const element = (x: Values, index: readonly number[], i: number, j: number): number => stretched(x, [...index.slice(0, -2), i, j]);
  return build([...batch, am, bn], (_, index) => {
    const [i, j] = [index.at(-2)!, index.at(-1)!];
    let total = 0;
    for (let k = 0; k < ak; k++) {
      total += (transposeA ? element(a, index, k, i) : element(a, index, i, k)) * (transposeB ? element(b, index, j, k) : element(b, index, k, j));
    }
    return total;
  });
}

const interpretations: { readonly [Op in OperatorName]: Interpretation<Op> } = {
  input: () => invariant(false, "an input must be fed") as never,
  parameter: () => invariant(false, "a parameter must be fed") as never,
  constant: (_, { value }) => ({ shape: value.shape, data: Float64Array.from(value.data) }),
  neg: elementwise((x) => -x!),
  exp: elementwise((x) => Math.exp(x!)),
  log: elementwise((x) => Math.log(x!)),
  sqrt: elementwise((x) => Math.sqrt(x!)),
  reciprocal: elementwise((x) => 1 / x!),
  tanh: elementwise((x) => Math.tanh(x!)),
  sigmoid: elementwise((x) => 1 / (1 + Math.exp(-x!))),
  erf: elementwise((x) => erf(x!)),
  floor: elementwise((x) => Math.floor(x!)),
  silu: elementwise((x) => x! / (1 + Math.exp(-x!))),
  stopGradient: ([x]) => x!,
  cast: ([x], { to }) => (to === "float32" ? x! : elementwise((v) => (to === "bool" ? Number(v !== 0) : Math.trunc(v!)))([x!])),
  add: elementwise((a, b) => a! + b!),
  sub: elementwise((a, b) => a! - b!),
  mul: elementwise((a, b) => a! * b!),
  div: elementwise((a, b) => a! / b!),
  equal: elementwise((a, b) => Number(a === b)),
  lessOrEqual: elementwise((a, b) => Number(a! <= b!)),
  and: elementwise((a, b) => Number(a !== 0 && b !== 0)),
  where: elementwise((c, a, b) => (c !== 0 ? a! : b!)),
  reshape: ([x], { shape }, bindings) => ({ shape: shape.map((dim) => evaluate(dim, bindings)), data: x!.data }),
  transpose: ([x], { permutation }) =>
    build(
      permutation.map((axis) => x!.shape[axis]!),
      (_, index) => {
        const source: number[] = [];
        permutation.forEach((axis, i) => (source[axis] = index[i]!));
        return stretched(x!, source);
      },
    ),
  expand: ([x], { shape }, bindings) =>
    build(
      shape.map((dim) => evaluate(dim, bindings)),
      (_, index) => stretched(x!, index),
    ),
  slice: ([x], { axis, start, length }, bindings) => {
    const from = evaluate(start, bindings);
    return build(
      x!.shape.map((dim, i) => (i === axis ? evaluate(length, bindings) : dim)),
      (_, index) => x!.data[index.reduce((flat, value, i) => flat * x!.shape[i]! + value + (i === axis ? from : 0), 0)]!,
    );
  },
  pad: ([x], { axis, before, length }, bindings) =>
    build(
      x!.shape.map((dim, i) => (i === axis ? evaluate(length, bindings) : dim)),
      (_, index) => {
        const inside = index[axis]! - evaluate(before, bindings);
        if (inside < 0 || inside >= x!.shape[axis]!) return 0;
        return x!.data[index.reduce((flat, value, i) => flat * x!.shape[i]! + (i === axis ? inside : value), 0)]!;
      },
    ),
  concat: (inputs, { axis }) => {
    const length = inputs.reduce((n, x) => n + x.shape[axis]!, 0);
    return build(
      inputs[0]!.shape.map((dim, i) => (i === axis ? length : dim)),
      (_, index) => {
        let position = index[axis]!;
        const x = inputs.find((candidate) => position < candidate.shape[axis]! || ((position -= candidate.shape[axis]!), false))!;
        return x.data[index.reduce((flat, value, i) => flat * x.shape[i]! + (i === axis ? position : value), 0)]!;
      },
    );
  },
  sum: reduce(0, (a, b) => a + b),
  max: reduce(-Infinity, Math.max),
  matmul: ([a, b], { transposeA, transposeB }) => matmul(a!, b!, transposeA, transposeB),
  // Exact in x: what the device loses by rounding it is noise, as rounding to float32 is.
  quantizedMatmul: ([x, codes, scales]) => {
    const N = scales!.data.length;
    return matmul(x!, { shape: codes!.shape, data: codes!.data.map((code, i) => code * scales!.data[i % N]!) }, false, false);
  },
  gather: ([table, ids]) => {
    const width = sizeOf(table!.shape.slice(1));
    const data = new Float64Array(ids!.data.length * width);
    ids!.data.forEach((id, i) => data.set(table!.data.subarray(id * width, (id + 1) * width), i * width));
    return { shape: [...ids!.shape, ...table!.shape.slice(1)], data };
  },
  scatterAdd: ([ids, updates], { rows: count }, bindings) => {
    const width = sizeOf(updates!.shape.slice(1));
    const shape = [evaluate(count, bindings), ...updates!.shape.slice(1)];
    const data = new Float64Array(sizeOf(shape));
    ids!.data.forEach((id, i) => {
      for (let j = 0; j < width; j++) data[id * width + j]! += updates!.data[i * width + j]!;
    });
    return { shape, data };
  },
  softmax: ([x]) =>
    rows(x!, x!.shape.at(-1)!, (row, out) => {
      const peak = row.reduce((a, b) => Math.max(a, b), -Infinity);
      row.forEach((value, i) => (out[i] = Math.exp(value - peak)));
      const total = out.reduce((a, b) => a + b, 0);
      out.forEach((value, i) => (out[i] = value / total));
    }),
  logSumExp: ([x]) =>
    rows(x!, 1, (row, out) => {
      const peak = row.reduce((a, b) => Math.max(a, b), -Infinity);
      out[0] = peak + Math.log(row.reduce((total, value) => total + Math.exp(value - peak), 0));
    }),
  rmsNorm: ([x, weight], { epsilon }) =>
    rows(x!, x!.shape.at(-1)!, (row, out) => {
      const r = 1 / Math.sqrt(row.reduce((total, value) => total + value * value, 0) / row.length + epsilon);
      row.forEach((value, i) => (out[i] = value * r * weight!.data[i]!));
    }),
  layerNorm: ([x, weight, bias], { epsilon }) =>
    rows(x!, x!.shape.at(-1)!, (row, out) => {
      const mean = row.reduce((total, value) => total + value, 0) / row.length;
      const r = 1 / Math.sqrt(row.reduce((total, value) => total + (value - mean) ** 2, 0) / row.length + epsilon);
      row.forEach((value, i) => (out[i] = (value - mean) * r * weight!.data[i]! + bias!.data[i]!));
    }),
  rotary: ([x, cos, sin]) => {
    const H = x!.shape[2]!;
    const half = cos!.shape[2]!;
    return rows(x!, x!.shape[3]!, (row, out, r) => {
      const table = Math.floor(r / H) * half;
      row.forEach((value, i) => (out[i] = value));
      for (let i = 0; i < half; i++) {
        const [c, s] = [cos!.data[table + i]!, sin!.data[table + i]!];
        out[i] = row[i]! * c - row[i + half]! * s;
        out[i + half] = row[i + half]! * c + row[i]! * s;
      }
    });
  },
};

/**
 * Evaluates named outputs; `feeds` holds inputs and parameters by name. Symbols are bound by the shapes that are fed.
 * @param known values of tensors that are not computed: what `stopGradient` makes constant, when others change.
 */
export function interpret<Name extends string>(
  outputs: Readonly<Record<Name, Tensor>>,
  feeds: Readonly<Record<string, HostTensor | Values>>,
  known: ReadonlyMap<Tensor, Values> = new Map(),
): Record<Name, Values> {
  const bindings = new Map<string, number>();
  const values = new Map<Tensor, Values>(known);
  const order = topologicalOrder(Object.values(outputs));
  for (const tensor of order) {
    if (tensor.op !== "input" && tensor.op !== "parameter") continue;
    const { name } = tensor.attributes as Operators["input" | "parameter"];
    const fed = feeds[name];
    invariant(fed !== undefined && fed.shape.length === tensor.shape.length, `${name} of shape ${formatShape(tensor.shape)} must be fed`);
    tensor.shape.forEach((dim, i) => {
      bind(dim, fed.shape[i]!, bindings);
      if (typeof dim === "number") invariant(dim === fed.shape[i], `${name} needs shape ${formatShape(tensor.shape)}, got ${formatShape(fed.shape)}`);
    });
    values.set(tensor, { shape: fed.shape, data: Float64Array.from(fed.data) });
  }
  for (const tensor of order) {
    if (values.has(tensor)) continue;
    const rule = interpretations[tensor.op] as Interpretation<OperatorName>;
    values.set(
      tensor,
      rule(
        tensor.inputs.map((input) => values.get(input)!),
        tensor.attributes,
        bindings,
      ),
    );
  }
  return Object.fromEntries(Object.entries<Tensor>(outputs).map(([name, tensor]) => [name, values.get(tensor)!])) as Record<Name, Values>;
}

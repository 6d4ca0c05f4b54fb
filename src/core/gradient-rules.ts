/** The derivative of every operator, written in forward operators, so that a gradient can be differentiated again. */
import { invariant } from "../base/errors.ts";
import * as T from "./operations.ts";
import { numeric, product, sameShape, type Shape, total } from "./shape.ts";
import type { OperatorName, Tensor } from "./tensor.ts";

/**
 * Given the node y = op(inputs) and dy = ∂loss/∂y, the gradients of its inputs in order; `undefined` where an input has
 * none. `needs[i]` is false where nobody asks for input i: the rule may leave it out.
 */
export type GradientRule<Op extends OperatorName> = (y: Tensor<Op>, dy: Tensor, needs: readonly boolean[]) => readonly (Tensor | undefined)[];

const none = (): readonly undefined[] => [];

/** Sums a gradient over the axes along which its input was stretched. */
function unbroadcast(dy: Tensor, shape: Shape): Tensor {
  const extra = dy.shape.length - shape.length;
  const axes = dy.shape.flatMap((dim, i) => (i < extra || (shape[i - extra] === 1 && dim !== 1) ? [i] : []));
  return T.reshape(T.sum(dy, axes), shape);
}

/** Sums [..., C] over all axes but the last. */
const sumRows = (x: Tensor): Tensor =>
  T.reshape(
    T.sum(
      x,
      x.shape.slice(0, -1).map((_, i) => i),
    ),
    x.shape.slice(-1),
  );

const when = (needed: boolean | undefined, gradient: () => Tensor): Tensor | undefined => (needed ? gradient() : undefined);

/** The mean over the last axis, which stays as a dimension of 1. */
function rowMean(x: Tensor): Tensor {
  return T.scale(T.sum(x, [-1]), 1 / numeric(x.shape.at(-1), "a normalised axis"));
}

/**
 * dy = rest ⊙ factor with one factor per row: it commutes with the product, so that it can be applied to rows of the width
 * of `a` when those are narrower. For logits that is one pass over [N, C] in place of one over [N, V].
 */
function rowFactor(dy: Tensor, a: Tensor): { readonly rest: Tensor; readonly factor: Tensor } | undefined {
  if (dy.op !== "mul") return undefined;
  const [rest, factor] = dy.inputs as [Tensor, Tensor];
  const [wide, narrow] = [rest.shape.at(-1)!, a.shape.at(-1)!];
  const perRow = factor.shape.length === rest.shape.length && factor.shape.at(-1) === 1 && sameShape(rest.shape.slice(0, -1), factor.shape.slice(0, -1));
  return perRow && sameShape(rest.shape, dy.shape) && typeof wide === "number" && typeof narrow === "number" && narrow < wide ? { rest, factor } : undefined;
}

/** 1 / sqrt(mean(x²) + ε) per row, from plain operators: the fused kernel's second output is wrong on WebGPU. */
function inverseDeviation(x: Tensor, epsilon: number): Tensor {
  return T.reciprocal(T.sqrt(T.add(rowMean(T.mul(x, x)), T.scalar(epsilon))));
}

export const gradientRules: { readonly [Op in OperatorName]: GradientRule<Op> } = {
  input: none,
  parameter: none,
  constant: none,
  floor: none, // zero almost everywhere
  stopGradient: none,
  equal: none,
  lessOrEqual: none,
  and: none,

  neg: (_, dy) => [T.neg(dy)],
  exp: (y, dy) => [T.mul(dy, y)],
  log: (y, dy) => [T.div(dy, y.inputs[0]!)],
  sqrt: (y, dy) => [T.div(T.scale(dy, 0.5), y)],
  reciprocal: (y, dy) => [T.neg(T.mul(dy, T.mul(y, y)))],
  tanh: (y, dy) => [T.mul(dy, T.sub(T.scalar(1), T.mul(y, y)))],
  sigmoid: (y, dy) => [T.mul(dy, T.mul(y, T.sub(T.scalar(1), y)))],
  // erf'(x) = 2/√π · exp(−x²)
  erf: (y, dy) => [T.mul(T.scale(dy, 2 / Math.sqrt(Math.PI)), T.exp(T.neg(T.mul(y.inputs[0]!, y.inputs[0]!))))],
  // y = x·s(x), s' = s(1 − s): y' = s + x·s·(1 − s) = s + y·(1 − s)
  silu: (y, dy) => {
    const s = T.sigmoid(y.inputs[0]!);
    return [T.mul(dy, T.add(s, T.mul(y, T.sub(T.scalar(1), s))))];
  },
  cast: (y, dy) => (y.dtype === "float32" && y.inputs[0]!.dtype === "float32" ? [dy] : []),

  add: (y, dy, needs) => y.inputs.map((input, i) => when(needs[i], () => unbroadcast(dy, input.shape))),
  sub: (y, dy, needs) => [when(needs[0], () => unbroadcast(dy, y.inputs[0]!.shape)), when(needs[1], () => unbroadcast(T.neg(dy), y.inputs[1]!.shape))],
  mul: (y, dy, needs) => [
    when(needs[0], () => unbroadcast(T.mul(dy, y.inputs[1]!), y.inputs[0]!.shape)),
    when(needs[1], () => unbroadcast(T.mul(dy, y.inputs[0]!), y.inputs[1]!.shape)),
  ],
  // y = a/b: da = dy/b, db = −dy·y/b
  div: (y, dy, needs) => [
    when(needs[0], () => unbroadcast(T.div(dy, y.inputs[1]!), y.inputs[0]!.shape)),
    when(needs[1], () => unbroadcast(T.neg(T.div(T.mul(dy, y), y.inputs[1]!)), y.inputs[1]!.shape)),
  ],
  where: (y, dy, needs) => {
    const [condition, a, b] = y.inputs;
    return [
      undefined,
      when(needs[1], () => unbroadcast(T.where(condition!, dy, T.scalar(0)), a!.shape)),
      when(needs[2], () => unbroadcast(T.where(condition!, T.scalar(0), dy), b!.shape)),
    ];
  },

  reshape: (y, dy) => [T.reshape(dy, y.inputs[0]!.shape)],
  transpose: (y, dy) => {
    const inverse: number[] = [];
    y.attributes.permutation.forEach((axis, i) => (inverse[axis] = i));
    return [T.transpose(dy, inverse)];
  },
  expand: (y, dy) => [unbroadcast(dy, y.inputs[0]!.shape)],
  slice: (y, dy) => {
    const { axis, start } = y.attributes;
    return [T.pad(dy, axis, start, y.inputs[0]!.shape[axis]!)];
  },
  pad: (y, dy) => {
    const { axis, before } = y.attributes;
    return [T.slice(dy, axis, before, y.inputs[0]!.shape[axis]!)];
  },
  concat: (y, dy, needs) => {
    const { axis } = y.attributes;
    return y.inputs.map((input, i) =>
      when(needs[i], () => T.slice(dy, axis, total(y.inputs.slice(0, i).map((earlier) => earlier.shape[axis]!)), input.shape[axis]!)),
    );
  },

  sum: (y, dy) => [T.expand(dy, y.inputs[0]!.shape)],
  // Elements equal to the maximum share its gradient.
  max: (y, dy) => {
    const winners = T.cast(T.equal(y.inputs[0]!, y), "float32");
    return [T.mul(winners, T.div(dy, T.sum(winners, y.attributes.axes)))];
  },

  // C = op(A)·op(B): dop(A) = dC·op(B)ᵀ, dop(B) = op(A)ᵀ·dC; where an operand was transposed, so is its gradient.
  matmul: (y, dy, needs) => {
    const [a, b] = y.inputs as [Tensor, Tensor];
    const { transposeA, transposeB } = y.attributes;
    const factored = transposeA ? undefined : rowFactor(dy, a);
    if (factored !== undefined) {
      const { rest, factor } = factored;
      const scaled = T.mul(a, factor);
      return [
        when(needs[0], () => unbroadcast(T.mul(T.matmul(rest, b, { transposeB: !transposeB }), factor), a.shape)),
        when(needs[1], () => unbroadcast(transposeB ? T.matmul(rest, scaled, { transposeA: true }) : T.matmul(scaled, rest, { transposeA: true }), b.shape)),
      ];
    }
    const da = (): Tensor => (transposeA ? T.matmul(b, dy, { transposeA: transposeB, transposeB: true }) : T.matmul(dy, b, { transposeB: !transposeB }));
    const db = (): Tensor => (transposeB ? T.matmul(dy, a, { transposeA: true, transposeB: transposeA }) : T.matmul(a, dy, { transposeA: !transposeA }));
    return [when(needs[0], () => unbroadcast(da(), a.shape)), when(needs[1], () => unbroadcast(db(), b.shape))];
  },
  // dx = dy·Wᵀ, as quantised as the forward product; the weight is frozen. As above, a factor per row goes to the narrow side.
  quantizedMatmul: (y, dy, needs) => {
    const [x, codes, scales, transposedCodes, transposedScales] = y.inputs as [Tensor, Tensor, Tensor, Tensor, Tensor];
    invariant(!needs.slice(1).includes(true), "a quantised weight has no gradient");
    const back = (rows: Tensor): Tensor => T.quantizedMatmul(rows, { codes: transposedCodes, scales: transposedScales }, { codes, scales });
    const factored = rowFactor(dy, x);
    return [factored === undefined ? back(dy) : T.mul(back(factored.rest), factored.factor)];
  },
  gather: (y, dy, needs) => {
    const [table, ids] = y.inputs as [Tensor, Tensor];
    const count = product(ids.shape);
    return [when(needs[0], () => T.scatterAdd(T.reshape(ids, [count]), T.reshape(dy, [count, ...table.shape.slice(1)]), table.shape[0]!))];
  },
  scatterAdd: (y, dy) => [undefined, T.gather(dy, y.inputs[0]!)],

  // yᵢ = exp(xᵢ)/Σ: dxᵢ = yᵢ·(dyᵢ − Σⱼ dyⱼ·yⱼ)
  softmax: (y, dy) => [T.mul(y, T.sub(dy, T.sum(T.mul(dy, y), [-1])))],
  logSumExp: (y, dy) => [T.mul(T.softmax(y.inputs[0]!), dy)],
  // y = x·r·w, r = (mean(x²) + ε)^−½, g = dy·w: dx = r·(g − x·r²·mean(g·x)), dw = Σ dy·x·r
  rmsNorm: (y, dy, needs) => {
    const [x, weight] = y.inputs as [Tensor, Tensor];
    const r = inverseDeviation(x, y.attributes.epsilon);
    const dx = (): Tensor => {
      const g = T.mul(dy, weight);
      return T.mul(r, T.sub(g, T.mul(x, T.mul(T.mul(r, r), rowMean(T.mul(g, x))))));
    };
    return [when(needs[0], dx), when(needs[1], () => sumRows(T.mul(dy, T.mul(x, r))))];
  },
  // x̂ = (x − μ)·r, y = x̂·w + b, g = dy·w: dx = r·(g − mean(g) − x̂·mean(g·x̂))
  layerNorm: (y, dy, needs) => {
    const [x, weight] = y.inputs as [Tensor, Tensor, Tensor];
    const centred = T.sub(x, rowMean(x));
    const r = inverseDeviation(centred, y.attributes.epsilon);
    const normal = T.mul(centred, r);
    const dx = (): Tensor => {
      const g = T.mul(dy, weight);
      return T.mul(r, T.sub(T.sub(g, rowMean(g)), T.mul(normal, rowMean(T.mul(g, normal)))));
    };
    return [when(needs[0], dx), when(needs[1], () => sumRows(T.mul(dy, normal))), when(needs[2], () => sumRows(dy))];
  },
  // A rotation's transpose turns the other way.
  rotary: (y, dy, needs) => {
    invariant(!needs[1] && !needs[2], "the tables of a rotary embedding have no gradient");
    return [T.rotary(dy, y.inputs[1]!, T.neg(y.inputs[2]!))];
  },
};

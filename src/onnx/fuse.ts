/** Finds additions that a matrix product can do on its way: C + α·A·B becomes one Gemm. */
import type { HostTensor } from "../core/dtype.ts";
import { sameShape } from "../core/shape.ts";
import type { Operators, Tensor } from "../core/tensor.ts";
import { type Emitter, float, int } from "./emitter.ts";

/** A sum that is written as one Gemm. */
interface FusedProduct {
  readonly emit: (nameOf: (tensor: Tensor) => string, emitter: Emitter) => string;
}

export interface Fusion {
  /** Sums written as one Gemm. */
  readonly products: ReadonlyMap<Tensor, FusedProduct>;
  /** Nodes that a fused product has taken in: they are not written on their own. */
  readonly absorbed: ReadonlySet<Tensor>;
}

/** α·A·B with the nodes it is spelled with. */
interface Scaled {
  readonly product: Tensor<"matmul">;
  readonly alpha: number;
  readonly nodes: readonly Tensor[];
}

/** Every fusable sum of the graph; `order` lists inputs before users. */
export function fuseProducts(order: readonly Tensor[], outputs: readonly Tensor[]): Fusion {
  const uses = new Map<Tensor, number>();
  for (const tensor of order) for (const input of tensor.inputs) uses.set(input, (uses.get(input) ?? 0) + 1);
  for (const output of outputs) uses.set(output, (uses.get(output) ?? 0) + 1);
  const products = new Map<Tensor, FusedProduct>();
  const absorbed = new Set<Tensor>();
  const usedOnce = (tensor: Tensor): boolean => uses.get(tensor) === 1;
  for (const tensor of order) {
    if (tensor.op !== "add") continue;
    const [a, b] = tensor.inputs as [Tensor, Tensor];
    // The second operand first: it is the term that was added to what already stood there.
    for (const [term, rest] of [
      [b, a],
      [a, b],
    ] as const) {
      const scaled = scaledProduct(term, usedOnce);
      const fits = sameShape(term.shape, tensor.shape) && (sameShape(rest.shape, tensor.shape) || sameShape(rest.shape, tensor.shape.slice(-1)));
      if (scaled === undefined || !fits || scaled.nodes.some((node) => absorbed.has(node) || products.has(node))) continue;
      for (const node of scaled.nodes) absorbed.add(node);
      products.set(tensor, { emit: (nameOf, emitter) => gemm(scaled, nameOf(rest), nameOf, emitter) });
      break;
    }
  }
  return { products, absorbed };
}

function scaledProduct(tensor: Tensor, usedOnce: (tensor: Tensor) => boolean): Scaled | undefined {
  if (!usedOnce(tensor)) return undefined;
  if (tensor.op === "matmul") {
    if (tensor.inputs.some((input) => input.shape.length !== 2)) return undefined;
    return { product: tensor as Tensor<"matmul">, alpha: 1, nodes: [tensor] };
  }
  if (tensor.op === "neg") {
    const inner = scaledProduct(tensor.inputs[0]!, usedOnce);
    return inner && { product: inner.product, alpha: -inner.alpha, nodes: [tensor, ...inner.nodes] };
  }
  if (tensor.op !== "mul") return undefined;
  const [x, factor] = tensor.inputs as [Tensor, Tensor];
  const value = scalarValue(factor);
  const inner = value === undefined ? undefined : scaledProduct(x, usedOnce);
  return inner && { product: inner.product, alpha: inner.alpha * value!, nodes: [tensor, ...inner.nodes] };
}

function scalarValue(tensor: Tensor): number | undefined {
  if (tensor.op !== "constant" || tensor.shape.length !== 0) return undefined;
  const value: HostTensor = (tensor.attributes as Operators["constant"]).value;
  return value.data[0];
}

function gemm({ product, alpha }: Scaled, addend: string, nameOf: (tensor: Tensor) => string, e: Emitter): string {
  const { transposeA, transposeB } = product.attributes;
  const [a, b] = product.inputs as [Tensor, Tensor];
  return e.op("Gemm", [nameOf(a), nameOf(b), addend], {
    alpha: float(alpha),
    transA: int(Number(transposeA)),
    transB: int(Number(transposeB)),
  });
}

/** Scaled dot-product attention with grouped queries, spelled out so that it can be differentiated. */
import { withGradient } from "../core/gradient.ts";
import { add, concat, matmul, mul, pad, reshape, scale, slice, softmax, sub, sum, transpose } from "../core/operations.ts";
import { type Dim, numeric, product } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { blockLength } from "./mask.ts";

/** Keys and values of earlier tokens, each [B, K, P, D]; what they become with the new tokens is recorded. */
export interface LayerCache {
  readonly key: Tensor;
  readonly value: Tensor;
  readonly record: (key: Tensor, value: Tensor) => void;
}

export interface AttentionInputs {
  readonly query: Tensor; // [B, T, H, D]
  readonly key: Tensor; // [B, T, K, D], K dividing H (Ainslie et al. 2023, arXiv 2305.13245)
  readonly value: Tensor; // [B, T, K, D]
  /** One mask per block of queries, from `attentionMasks`. */
  readonly masks: readonly Tensor[];
  /** Multiplies the scores; 1/√D by default. */
  readonly scale?: number;
  readonly cache?: LayerCache | undefined;
}

/**
 * softmax(q·kᵀ·scale + mask)·v → [B*T, H*D] (Vaswani et al. 2017, arXiv 1706.03762).
 * The G = H/K query heads of a group are folded into rows, so that keys and values are never repeated.
 */
export function attention({ query, key, value, masks, scale: factor, cache }: AttentionInputs): Tensor {
  const [B, T, H, D] = query.shape as [Dim, Dim, number, number];
  const K = numeric(key.shape[2], "the number of key/value heads");
  const G = H / K;
  const q = transpose(reshape(scale(query, factor ?? 1 / Math.sqrt(D)), [B, T, K, G, D]), [0, 2, 3, 1, 4]); // [B, K, G, T, D]
  const heads = (x: Tensor): Tensor => transpose(x, [0, 2, 1, 3]); // [B, K, T, D]
  let [k, v] = [heads(key), heads(value)];
  if (cache !== undefined) {
    [k, v] = [concat([cache.key, k], 2), concat([cache.value, v], 2)];
    cache.record(k, v);
  }
  const mixed = cache === undefined ? blockwise(q, k, v, masks) : attend(q, k, v, masks[0]!).output;
  return reshape(transpose(mixed, [0, 3, 1, 2, 4]), [product([B, T]), H * D]);
}

/** q [B, K, G, T, D], k and v [B, K, S, D] → weights [B, K, G*T, S], output [B, K, G, T, D]. */
function attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor): { readonly weights: Tensor; readonly output: Tensor } {
  const [B, K, G, T, D] = q.shape as [Dim, number, number, Dim, number];
  const S = k.shape[2]!;
  const rows = product([G, T]);
  const scores = reshape(matmul(reshape(q, [B, K, rows, D]), k, { transposeB: true }), [B, K, G, T, S]);
  const weights = reshape(softmax(add(scores, mask)), [B, K, rows, S]);
  return { weights, output: reshape(matmul(weights, v), [B, K, G, T, D]) };
}

/**
 * Causal attention in blocks of queries, each against the keys up to its own end: 5/8 of the products for four blocks.
 *
 * Backward (Dao 2023, arXiv 2307.08691, section 2.3), with δ = Σ dO ⊙ O in place of Σ dP ⊙ P, which is the same number:
 *   dV = Pᵀ·dO,  dS = P ⊙ (dO·Vᵀ − δ),  dQ = dS·K,  dK = dSᵀ·Q
 */
function blockwise(q: Tensor, k: Tensor, v: Tensor, masks: readonly Tensor[]): Tensor {
  const [B, K, G, T, D] = q.shape as [Dim, number, number, Dim, number];
  const blocks = masks.length;
  const Q = blockLength(T);
  const rows = product([G, Q]);
  const inBlocks = (x: Tensor): Tensor => reshape(x, [B, K, G, blocks, Q, D]);
  const block = (x: Tensor, i: number): Tensor => reshape(slice(inBlocks(x), 3, i, i + 1), [B, K, G, Q, D]);
  const prefix = (x: Tensor, i: number): Tensor => reshape(slice(reshape(x, [B, K, blocks, Q, D]), 2, 0, i + 1), [B, K, product([i + 1, Q]), D]);
  const join = (parts: readonly Tensor[]): Tensor => reshape(concat(parts.map((x) => reshape(x, [B, K, G, 1, Q, D])), 3), [B, K, G, T, D]);

  const parts = masks.map((mask, i) => ({ q: block(q, i), k: prefix(k, i), v: prefix(v, i), mask }));
  const attended = parts.map((part) => attend(part.q, part.k, part.v, part.mask));
  const output = join(attended.map((part) => part.output));

  return withGradient(output, [q, k, v], (dy) => {
    const gradients = parts.map((part, i) => {
      const { weights, output: o } = attended[i]!;
      const dO = block(dy, i);
      const delta = reshape(sum(mul(dO, o), [-1]), [B, K, rows, 1]);
      const dRows = reshape(dO, [B, K, rows, D]);
      const dS = mul(weights, sub(matmul(dRows, part.v, { transposeB: true }), delta));
      const whole = (x: Tensor): Tensor => reshape(pad(reshape(x, [B, K, i + 1, Q, D]), 2, 0, blocks - i - 1), k.shape);
      return {
        q: reshape(matmul(dS, part.k), [B, K, G, Q, D]),
        k: whole(matmul(dS, reshape(part.q, [B, K, rows, D]), { transposeA: true })),
        v: whole(matmul(weights, dRows, { transposeA: true })),
      };
    });
    return [join(gradients.map((g) => g.q)), gradients.map((g) => g.k).reduce(add), gradients.map((g) => g.v).reduce(add)];
  });
}

/** Scaled dot-product attention with grouped queries, spelled out so that it can be differentiated. */
import { add, concat, matmul, reshape, scale, softmax, transpose } from "../core/operations.ts";
import { type Dim, numeric, product } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";

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
  readonly mask: Tensor; // [B, 1, 1, T, S]
  /** Multiplies the scores; 1/√D by default. */
  readonly scale?: number;
  readonly cache?: LayerCache | undefined;
}

/**
 * softmax(q·kᵀ·scale + mask)·v → [B*T, H*D] (Vaswani et al. 2017, arXiv 1706.03762).
 * The G = H/K query heads of a group are folded into rows, so that keys and values are never repeated.
 */
export function attention({ query, key, value, mask, scale: factor, cache }: AttentionInputs): Tensor {
  const [B, T, H, D] = query.shape as [Dim, Dim, number, number];
  const K = numeric(key.shape[2], "the number of key/value heads");
  const G = H / K;
  const heads = (x: Tensor): Tensor => transpose(x, [0, 2, 1, 3]); // [B, K, T, D]
  let [k, v] = [heads(key), heads(value)];
  if (cache !== undefined) {
    [k, v] = [concat([cache.key, k], 2), concat([cache.value, v], 2)];
    cache.record(k, v);
  }
  const S = mask.shape[4]!;
  [k, v] = [reshape(k, [B, K, S, D]), reshape(v, [B, K, S, D])];
  const grouped = transpose(reshape(scale(query, factor ?? 1 / Math.sqrt(D)), [B, T, K, G, D]), [0, 2, 3, 1, 4]);
  const q = reshape(grouped, [B, K, product([G, T]), D]);
  const scores = reshape(matmul(q, k, { transposeB: true }), [B, K, G, T, S]);
  const weights = reshape(softmax(add(scores, mask)), [B, K, product([G, T]), S]);
  const mixed = reshape(matmul(weights, v), [B, K, G, T, D]);
  return reshape(transpose(mixed, [0, 3, 1, 2, 4]), [product([B, T]), H * D]);
}

/** Scaled dot-product attention with grouped queries, spelled out so that it can be differentiated. */
import { withGradient } from "../core/gradient.ts";
import { add, concat, expand, matmul, mul, pad, reshape, scale, slice, softmax, sub, sum, transpose } from "../core/operations.ts";
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
  /** One mask per block of queries, from `attentionMasks` for groups of H/K; `prefix` is the number of keys before all others. */
  readonly masks: (prefix: number) => readonly Tensor[];
  /** Multiplies the scores; 1/√D by default. */
  readonly scale?: number;
  readonly cache?: LayerCache | undefined;
  /** Keys and values before all others, each [M, K, D] and the same for every row; they are never rotated nor cached. */
  readonly prefix?: { readonly key: Tensor; readonly value: Tensor };
  /** The module's own keys and values of rows that stand outside the sequence: [M, C] → each [M, K, D], not rotated. */
  readonly keyValueOf: (rows: Tensor) => { readonly key: Tensor; readonly value: Tensor };
}

/**
 * softmax(q·kᵀ·scale + mask)·v → [B*T, H*D] (Vaswani et al. 2017, arXiv 1706.03762).
 * The G = H/K query heads of a group are rows beside each other, so that keys and values are never repeated.
 */
export function attention({ query, key, value, masks: masksFor, scale: factor, cache, prefix }: AttentionInputs): Tensor {
  const [B, T, H, D] = query.shape as [Dim, Dim, number, number];
  const K = numeric(key.shape[2], "the number of key/value heads");
  const G = H / K;
  const grouped = reshape(scale(query, factor ?? 1 / Math.sqrt(D)), [B, T, K, G, D]);
  const q = reshape(transpose(grouped, [0, 2, 1, 3, 4]), [B, K, product([T, G]), D]); // rows t·G + g
  const heads = (x: Tensor): Tensor => transpose(x, [0, 2, 1, 3]); // [B, K, T, D]
  let [k, v] = [heads(key), heads(value)];
  if (cache !== undefined) {
    [k, v] = [concat([cache.key, k], 2), concat([cache.value, v], 2)];
    cache.record(k, v);
  }
  if (prefix !== undefined) {
    const everywhere = (x: Tensor): Tensor => expand(reshape(transpose(x, [1, 0, 2]), [1, K, x.shape[0]!, D]), [B, K, x.shape[0]!, D]);
    [k, v] = [concat([everywhere(prefix.key), k], 2), concat([everywhere(prefix.value), v], 2)];
  }
  const masks = masksFor(prefix === undefined ? 0 : numeric(prefix.key.shape[0], "the number of keys before all others"));
  const mixed = cache === undefined ? blockwise(q, k, v, masks) : attend(q, k, v, masks[0]!).output;
  return reshape(transpose(reshape(mixed, [B, K, T, G, D]), [0, 2, 1, 3, 4]), [product([B, T]), H * D]);
}

/** q [B, K, M, D], k and v [B, K, S, D], mask [B, 1, M, S] → weights [B, K, M, S], output [B, K, M, D]. */
function attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor): { readonly weights: Tensor; readonly output: Tensor } {
  const weights = softmax(add(matmul(q, k, { transposeB: true }), mask));
  return { weights, output: matmul(weights, v) };
}

/**
 * Causal attention in blocks of queries, each against the keys up to its own end: 5/8 of the products for four blocks.
 *
 * Backward (Dao 2023, arXiv 2307.08691, section 2.3), with δ = Σ dO ⊙ O in place of Σ dP ⊙ P, which is the same number:
 *   dV = Pᵀ·dO,  dS = P ⊙ (dO·Vᵀ − δ),  dQ = dS·K,  dK = dSᵀ·Q
 */
function blockwise(q: Tensor, k: Tensor, v: Tensor, masks: readonly Tensor[]): Tensor {
  const length = k.shape[2]!;
  const blocks = masks.map((mask, i) => {
    const [rows, keys] = [mask.shape[2]!, mask.shape[3]!];
    const own = (x: Tensor): Tensor => slice(x, 2, product([i, rows]), rows);
    const prefix = (x: Tensor): Tensor => slice(x, 2, 0, keys);
    const [qi, ki, vi] = [own(q), prefix(k), prefix(v)];
    return { own, q: qi, k: ki, v: vi, ...attend(qi, ki, vi, mask) };
  });
  const output = concat(
    blocks.map((block) => block.output),
    2,
  );
  const joined = reshape(output, q.shape);

  return withGradient(joined, [q, k, v], (dy) => {
    const delta = sum(mul(dy, joined), [-1]);
    const whole = (x: Tensor): Tensor => pad(x, 2, 0, length);
    const gradients = blocks.map((block) => {
      const dO = block.own(dy);
      const dS = mul(block.weights, sub(matmul(dO, block.v, { transposeB: true }), block.own(delta)));
      return {
        q: matmul(dS, block.k),
        k: whole(matmul(dS, block.q, { transposeA: true })),
        v: whole(matmul(block.weights, dO, { transposeA: true })),
      };
    });
    return [
      reshape(
        concat(
          gradients.map((g) => g.q),
          2,
        ),
        q.shape,
      ),
      gradients.map((g) => g.k).reduce(add),
      gradients.map((g) => g.v).reduce(add),
    ];
  });
}

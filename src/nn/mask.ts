/** Who may attend to whom, as terms added to the attention scores, one per block of queries. */
import { add, and, equal, expand, integer, lessOrEqual, reshape, scalar, slice, where } from "../core/operations.ts";
import { type Dim, parts, product } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";

/** Added where attention is forbidden: finite, so that a row in which all is forbidden gives numbers and not NaN. */
const FORBIDDEN = -1e30;

export interface MaskInputs {
  /** [B, T] of the queries. */
  readonly positions: Tensor;
  readonly segments: Tensor;
  /** [B, S] of the keys; the same tensors as the queries' when there is no cache. */
  readonly keyPositions: Tensor;
  readonly keySegments: Tensor;
}

/** Blocks that the queries of a graph without a cache are cut into, when nothing is known of its rows. */
export const QUERY_BLOCKS = 4;

/**
 * How many blocks suit rows of up to `length` tokens: more of them skip more of what lies in the future, and cost more
 * operators. Eight blocks compute 9/16 of the square, four 5/8.
 */
export function queryBlocksFor(length: number): number {
  return length <= 64 ? 1 : length <= 128 ? 2 : length <= 256 ? 4 : 8;
}

/**
 * 0 where a query may attend to a key, a large negative number elsewhere; each query's row stands `group` times, once for
 * each query head of a group.
 *
 * Allowed: the same segment, not later, and with a `window` fewer than `window` positions back. Without a cache, tokens of
 * a segment stand in order, so that the i-th block of Q queries needs the first (i + 1)·Q keys only: the result holds one
 * mask [B, 1, Q·group, (i + 1)·Q] per block of a length such as "4*Q". With a cache it is one mask [B, 1, T·group, S].
 */
export function attentionMasks(inputs: MaskInputs, group: number, window?: number): readonly Tensor[] {
  if (inputs.positions !== inputs.keyPositions) return [maskOf(inputs, group, window)];
  const { coefficient: blocks, symbols } = parts(inputs.positions.shape[1]!);
  const Q = product(symbols);
  return Array.from({ length: blocks }, (_, i) => {
    const block = (x: Tensor): Tensor => slice(x, 1, product([i, Q]), Q);
    const prefix = (x: Tensor): Tensor => slice(x, 1, 0, product([i + 1, Q]));
    const { positions, segments } = inputs;
    return maskOf({ positions: block(positions), segments: block(segments), keyPositions: prefix(positions), keySegments: prefix(segments) }, group, window);
  });
}

function maskOf(inputs: MaskInputs, group: number, window?: number): Tensor {
  const [B, T] = inputs.positions.shape as [Dim, Dim];
  const S = inputs.keyPositions.shape[1]!;
  const query = (x: Tensor): Tensor => reshape(x, [B, T, 1]);
  const key = (x: Tensor): Tensor => reshape(x, [B, 1, S]);
  let allowed = and(equal(query(inputs.segments), key(inputs.keySegments)), lessOrEqual(key(inputs.keyPositions), query(inputs.positions)));
  if (window !== undefined) {
    // t − s < window  ⇔  t ≤ s + window − 1
    allowed = and(allowed, lessOrEqual(query(inputs.positions), add(key(inputs.keyPositions), integer(window - 1))));
  }
  const mask = reshape(where(allowed, scalar(0), scalar(FORBIDDEN)), [B, T, 1, S]);
  return reshape(expand(mask, [B, T, group, S]), [B, 1, product([T, group]), S]);
}

/** Who may attend to whom, as terms added to the attention scores, one per block of queries. */
import { add, and, concat, constant, equal, expand, integer, lessOrEqual, reshape, scalar, slice, where } from "../core/operations.ts";
import { type Dim, parts, product, total } from "../core/shape.ts";
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
 * each query head of a group. `prefix` keys at positions 0, 1, … of every segment may stand before all others.
 *
 * Allowed: the same segment, not later, and with a `window` fewer than `window` positions back. Without a cache, tokens of
 * a segment stand in order, so that the i-th block of Q queries needs the first (i + 1)·Q keys only: the result holds one
 * mask [B, 1, Q·group, (i + 1)·Q] per block of a length such as "4*Q". With a cache it is one mask [B, 1, T·group, S].
 */
export function attentionMasks(inputs: MaskInputs, group: number, window?: number, prefix = 0): readonly Tensor[] {
  if (inputs.positions !== inputs.keyPositions) return [maskOf(inputs, group, window, prefix)];
  const { coefficient: blocks, symbols } = parts(inputs.positions.shape[1]!);
  const Q = product(symbols);
  return Array.from({ length: blocks }, (_, i) => {
    const block = (x: Tensor): Tensor => slice(x, 1, product([i, Q]), Q);
    const keys = (x: Tensor): Tensor => slice(x, 1, 0, product([i + 1, Q]));
    const { positions, segments } = inputs;
    const own = { positions: block(positions), segments: block(segments), keyPositions: keys(positions), keySegments: keys(segments) };
    return maskOf(own, group, window, prefix);
  });
}

function maskOf(inputs: MaskInputs, group: number, window: number | undefined, prefix: number): Tensor {
  const [B, T] = inputs.positions.shape as [Dim, Dim];
  const S = inputs.keyPositions.shape[1]!;
  const query = (x: Tensor): Tensor => reshape(x, [B, T, 1]);
  const key = (x: Tensor): Tensor => reshape(x, [B, 1, S]);
  // t − s < window  ⇔  t ≤ s + window − 1
  const inWindow = (keyPositions: Tensor): Tensor => lessOrEqual(query(inputs.positions), add(keyPositions, integer((window ?? 1) - 1)));
  let allowed = and(equal(query(inputs.segments), key(inputs.keySegments)), lessOrEqual(key(inputs.keyPositions), query(inputs.positions)));
  if (window !== undefined) allowed = and(allowed, inWindow(key(inputs.keyPositions)));
  const terms = (condition: Tensor): Tensor => where(condition, scalar(0), scalar(FORBIDDEN));
  let mask = terms(allowed); // [B, T, S]
  if (prefix > 0) {
    const places = constant({ dtype: "int32", shape: [1, 1, prefix], data: Int32Array.from({ length: prefix }, (_, i) => i) });
    // Without a window every query may see them.
    const near = window === undefined ? lessOrEqual(places, query(inputs.positions)) : inWindow(places);
    mask = concat([terms(near), mask], 2);
  }
  const keys = total([prefix, S]);
  return reshape(expand(reshape(mask, [B, T, 1, keys]), [B, T, group, keys]), [B, 1, product([T, group]), keys]);
}

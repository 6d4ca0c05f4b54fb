/** Who may attend to whom, as a term added to the attention scores. */
import { add, and, equal, integer, lessOrEqual, reshape, scalar, where } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";

/** Added where attention is forbidden: finite, so that a row in which all is forbidden gives numbers and not NaN. */
const FORBIDDEN = -1e30;

export interface MaskInputs {
  /** [B, T] of the queries. */
  readonly positions: Tensor;
  readonly segments: Tensor;
  /** [B, S] of the keys; in training the same as the queries'. */
  readonly keyPositions: Tensor;
  readonly keySegments: Tensor;
}

/**
 * 0 where query t may attend to key s, a large negative number elsewhere: [B, 1, 1, T, S].
 * Allowed: the same segment, not later, and with a `window` fewer than `window` positions back.
 */
export function attentionMask(inputs: MaskInputs, window?: number): Tensor {
  const [B, T] = inputs.positions.shape as [string, string];
  const S = inputs.keyPositions.shape[1]!;
  const query = (x: Tensor): Tensor => reshape(x, [B, T, 1]);
  const key = (x: Tensor): Tensor => reshape(x, [B, 1, S]);
  let allowed = and(equal(query(inputs.segments), key(inputs.keySegments)), lessOrEqual(key(inputs.keyPositions), query(inputs.positions)));
  if (window !== undefined) {
    // t − s < window  ⇔  t ≤ s + window − 1
    allowed = and(allowed, lessOrEqual(query(inputs.positions), add(key(inputs.keyPositions), integer(window - 1))));
  }
  return reshape(where(allowed, scalar(0), scalar(FORBIDDEN)), [B, 1, 1, T, S]);
}

/** Host values for the inputs of a decoder graph. */
import { type HostTensor, floats, integers } from "../core/dtype.ts";
import { QUERY_BLOCKS } from "../nn/mask.ts";
import { rotaryTables } from "../nn/rotary.ts";
import type { Architecture } from "./architecture.ts";

/** `B` rows of `T` tokens, flattened row-major; segment 0 is padding. */
export interface TokenRows {
  readonly rows: number; // B
  readonly length: number; // T
  readonly tokens: Int32Array; // [B*T]
  readonly positions: Int32Array; // [B*T]
  readonly segments: Int32Array; // [B*T]
}

/**
 * Feeds for `decoderInputs` and, without the cache's own tensors, for `cachedDecoderInputs`. Position 0 of a text becomes
 * `firstPosition`; padding stays where it is.
 */
export function decoderFeeds(architecture: Architecture, rows: TokenRows, firstPosition = 0): Record<string, HostTensor> {
  const { rows: B, length: T, tokens, segments } = rows;
  const positions = firstPosition === 0 ? rows.positions : rows.positions.map((position, i) => (segments[i] === 0 ? position : position + firstPosition));
  const feeds: Record<string, HostTensor> = {
    tokens: integers([B, T], tokens),
    positions: integers([B, T], positions),
    segments: integers([B, T], segments),
  };
  for (const [key, spec] of Object.entries(architecture.rotary)) {
    const { cos, sin } = rotaryTables(spec, positions);
    feeds[`rotary.${key}.cos`] = floats([B, T, spec.width / 2], cos);
    feeds[`rotary.${key}.sin`] = floats([B, T, spec.width / 2], sin);
  }
  return feeds;
}

/** The same rows with padding behind them, so that their length is a multiple of the query blocks; labelled rows move along. */
export function padToBlocks<Rows extends TokenRows & { readonly labelRows: Int32Array }>(batch: Rows, queryBlocks: number = QUERY_BLOCKS): Rows {
  const { rows: B, length: T } = batch;
  const length = Math.ceil(T / queryBlocks) * queryBlocks;
  if (length === T) return batch;
  const widen = (values: Int32Array): Int32Array => {
    const wide = new Int32Array(B * length);
    for (let b = 0; b < B; b++) wide.set(values.subarray(b * T, (b + 1) * T), b * length);
    return wide;
  };
  return {
    ...batch,
    length,
    tokens: widen(batch.tokens),
    positions: widen(batch.positions),
    segments: widen(batch.segments),
    labelRows: batch.labelRows.map((row) => Math.floor(row / T) * length + (row % T)),
  };
}

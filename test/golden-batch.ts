/** Batches of the golden references as rows of tokens with positions, segments and labelled positions. */
import { type AdaptationMethod, virtualTokensOf } from "../src/peft/method.ts";
import { IGNORED_LABEL, type Batch } from "../src/data/batch.ts";

export interface GoldenBatch {
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask?: readonly (readonly number[])[];
  readonly labels: readonly (readonly number[])[];
  readonly position_ids?: readonly (readonly number[])[];
  readonly loss: number;
}

/**
 * The batch in our form. Without explicit positions tokens are numbered from 0 in each row; padding is segment 0.
 * The label of position t is that of token t + 1, as the reference shifts them.
 */
export function tokenRows(batch: Pick<GoldenBatch, "input_ids" | "attention_mask" | "labels" | "position_ids">): Batch {
  const rows = batch.input_ids.length;
  const length = batch.input_ids[0]!.length;
  const labelRows: number[] = [];
  const labelIds: number[] = [];
  batch.labels.forEach((labels, b) => {
    for (let t = 0; t + 1 < length; t++) {
      if (labels[t + 1] === IGNORED_LABEL) continue;
      labelRows.push(b * length + t);
      labelIds.push(labels[t + 1]!);
    }
  });
  return {
    rows,
    length,
    tokens: Int32Array.from(batch.input_ids.flat()),
    positions: Int32Array.from(batch.position_ids?.flat() ?? batch.input_ids.flatMap((row) => row.map((_, t) => t))),
    segments: Int32Array.from(batch.attention_mask?.flat() ?? batch.input_ids.flatMap((row) => row.map(() => 1))),
    labelRows: Int32Array.from(labelRows),
    labelIds: Int32Array.from(labelIds),
  };
}

/** Logits [B*T, V] of the batch as the reference stores them, from those of its padded form: 0 where a token is padding. */
export function referenceLogits(padded: Float32Array, paddedLength: number, batch: Batch, vocabSize: number): Float32Array {
  const logits = new Float32Array(batch.rows * batch.length * vocabSize);
  batch.segments.forEach((segment, n) => {
    if (segment === 0) return;
    const from = Math.floor(n / batch.length) * paddedLength + (n % batch.length);
    logits.set(padded.subarray(from * vocabSize, (from + 1) * vocabSize), n * vocabSize);
  });
  return logits;
}

/** The batch with a method's virtual tokens in front of every row, as PEFT puts them there: seen, and never a label. */
export function withVirtualTokens<B extends Pick<GoldenBatch, "input_ids" | "attention_mask" | "labels">>(
  batch: B,
  method: AdaptationMethod | undefined,
  V: number,
): B {
  const ids = virtualTokensOf(method, V);
  if (ids.length === 0) return batch;
  const before = (rows: readonly (readonly number[])[], values: readonly number[]): number[][] => rows.map((row) => [...values, ...row]);
  return {
    ...batch,
    input_ids: before(batch.input_ids, ids),
    labels: before(
      batch.labels,
      ids.map(() => IGNORED_LABEL),
    ),
    ...(batch.attention_mask && {
      attention_mask: before(
        batch.attention_mask,
        ids.map(() => 1),
      ),
    }),
  };
}

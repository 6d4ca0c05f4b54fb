/** Plans which examples go into which batch, and builds the batches: everything depends on the seed and the epoch only. */
import { invariant } from "../base/errors.ts";
import { Random } from "../base/random.ts";
import { IGNORED_LABEL } from "./batch.ts";
import type { Batch } from "./batch.ts";
import { layOutControls } from "./control.ts";
import type { Example } from "./example.ts";
import { packBestFit } from "./packing.ts";

export interface BatchOptions {
  /** Rows of a batch (B). */
  readonly batchSize: number;
  /** The longest row, in tokens. */
  readonly maxLength: number;
  /** Several examples a row, kept apart by segments. */
  readonly packing: boolean;
  /** Row lengths are rounded up to a multiple of this, so that only few shapes occur. */
  readonly bucket: number;
  readonly seed: number;
}

export interface BatchPlan {
  /** The examples of each row, by number. */
  readonly rows: readonly (readonly number[])[]; // [B][examples in the row]
  /** Length of all rows (T). */
  readonly length: number;
}

/** Batches whose examples are sorted by length together: enough for little padding, few enough to stay well shuffled. */
const SORTED_BATCHES = 64;

/** Control texts take a multiple of this many places beside a batch, so that only few shapes occur. */
export const CONTROL_BUCKET = 8;

/** Examples that are packed together. */
const PACKED_EXAMPLES = 4096;

/** The batches of one epoch: every example once, in an order of that epoch's own. */
export function planEpoch(examples: readonly Example[], options: BatchOptions, epoch: number): BatchPlan[] {
  const { batchSize, maxLength, seed } = options;
  const lengthOf = (i: number): number => examples[i]!.tokens.length;
  for (const example of examples) invariant(example.tokens.length <= maxLength, `an example of ${example.tokens.length} tokens does not fit into ${maxLength}`);
  const random = Random.named(seed, `epoch ${epoch}`);
  const order = random.shuffle(examples.map((_, i) => i));
  const rows = options.packing
    ? random.shuffle(chunks(order, PACKED_EXAMPLES).flatMap((chunk) => packBestFit(chunk, lengthOf, maxLength)))
    : chunks(order, batchSize * SORTED_BATCHES).flatMap((chunk) => chunk.toSorted((a, b) => lengthOf(a) - lengthOf(b)).map((i) => [i]));
  const plans = chunks(rows, batchSize).map((batch): BatchPlan => ({ rows: batch, length: paddedLength(batch, lengthOf, options) }));
  return random.shuffle(plans);
}

/** The batches of a pass without training (validation): little padding, the same for every seed. */
export function planPass(examples: readonly Example[], options: Omit<BatchOptions, "seed">): BatchPlan[] {
  const lengthOf = (i: number): number => examples[i]!.tokens.length;
  const order = examples.map((_, i) => i).sort((a, b) => lengthOf(a) - lengthOf(b));
  const rows = options.packing ? packBestFit(order, lengthOf, options.maxLength) : order.map((i) => [i]);
  return chunks(rows, options.batchSize).map((batch) => ({ rows: batch, length: paddedLength(batch, lengthOf, options) }));
}

/**
 * Lays the examples of a plan out as a batch.
 *
 * Labels are shifted here: position t is labelled with the token at t + 1 when that is trained on and of the same example.
 * Padding has segment 0 and position 0.
 * @param controls whether an example's control text is laid out beside it; all are by default.
 */
export function buildBatch(examples: readonly Example[], plan: BatchPlan, padId: number, controls: (index: number) => boolean = () => true): Batch {
  const rows = plan.rows.length;
  const { length } = plan;
  const tokens = new Int32Array(rows * length).fill(padId);
  const positions = new Int32Array(rows * length);
  const segments = new Int32Array(rows * length);
  const labelRows: number[] = [];
  const labelIds: number[] = [];
  for (const [row, members] of plan.rows.entries()) {
    let at = row * length;
    for (const [k, index] of members.entries()) {
      const example = examples[index]!;
      const size = example.tokens.length;
      invariant(at + size <= (row + 1) * length, `row ${row} of the batch overflows`);
      tokens.set(example.tokens, at);
      for (let t = 0; t < size; t++) {
        positions[at + t] = t;
        segments[at + t] = k + 1;
        const label = t + 1 < size ? example.labels[t + 1]! : IGNORED_LABEL;
        if (label === IGNORED_LABEL) continue;
        labelRows.push(at + t);
        labelIds.push(label);
      }
      at += size;
    }
  }
  const texts = plan.rows.map((members) => members.map((index) => (controls(index) ? examples[index]!.control : undefined)));
  const control = layOutControls(texts, CONTROL_BUCKET, padId);
  return {
    rows,
    length,
    tokens,
    positions,
    segments,
    labelRows: Int32Array.from(labelRows),
    labelIds: Int32Array.from(labelIds),
    ...(control && { control }),
  };
}

/**
 * Classifier-free drop-out of controls (Ho & Salimans 2022, arXiv 2207.12598): which examples keep theirs in an epoch, decided
 * by the seed, the epoch and the example alone, so that a resumed run leaves out the same ones.
 */
export function controlsKept(rate: number, seed: number, epoch: number): (index: number) => boolean {
  return (index) => rate === 0 || Random.named(seed, `control ${epoch} ${index}`).uniform() >= rate;
}

function paddedLength(
  rows: readonly (readonly number[])[],
  lengthOf: (i: number) => number,
  { bucket, maxLength }: Pick<BatchOptions, "bucket" | "maxLength">,
): number {
  const longest = Math.max(...rows.map((row) => row.reduce((sum, i) => sum + lengthOf(i), 0)));
  return Math.min(Math.ceil(longest / bucket) * bucket, maxLength);
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  const result: T[][] = [];
  for (let start = 0; start < items.length; start += size) result.push(items.slice(start, start + size));
  return result;
}

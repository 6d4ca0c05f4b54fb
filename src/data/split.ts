/** Holds a part of a data set out for validation, by the records' contents. */
import { hash32 } from "../base/random.ts";
import type { RecordContent } from "./record.ts";

export interface Split<R> {
  readonly train: readonly R[];
  readonly validation: readonly R[];
}

/**
 * Each content is held out with probability `fraction`, decided by a hash of the seed and the content alone: equal records
 * stand on the same side, and a record stays on its side when others come or go.
 * When chance leaves one side empty, the content nearest to the border changes over, if there is another one.
 */
export function splitRecords<R extends RecordContent>(records: readonly R[], fraction: number, seed: number): Split<R> {
  if (fraction <= 0) return { train: records, validation: [] };
  const scores = records.map((record) => score(record, seed));
  const distinct = [...new Set(scores)].sort((a, b) => a - b);
  let border = fraction;
  if (distinct.length > 1) {
    if (distinct[0]! >= border) border = (distinct[0]! + distinct[1]!) / 2;
    else if (distinct.at(-1)! < border) border = distinct.at(-1)!;
  }
  return {
    train: records.filter((_, i) => scores[i]! >= border),
    validation: records.filter((_, i) => scores[i]! < border),
  };
}

/** Uniform in [0, 1), from 52 bits of two hashes. */
function score(record: RecordContent, seed: number): number {
  const content = contentOf(record);
  const high = mix(hash32(`${seed}:${content}`));
  const low = mix(hash32(`${content}:${seed}`));
  return (high * 2 ** 20 + (low >>> 12)) / 2 ** 52;
}

function contentOf(record: RecordContent): string {
  switch (record.kind) {
    case "messages":
      return JSON.stringify([record.messages, record.tools ?? null]);
    case "completion":
      return JSON.stringify([record.prompt, record.completion]);
    case "text":
      return JSON.stringify(record.text);
  }
}

/** MurmurHash3's final mix: FNV alone leaves the last characters' traces in few bits. */
function mix(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

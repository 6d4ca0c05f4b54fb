/** Turns the documents of a corpus into windows of tokens, a megabyte at a time, saying how far it is. */
import { basename } from "node:path";
import { Random } from "../base/random.ts";
import type { Example } from "../data/example.ts";
import { type ExampleSet, makeExamples } from "../data/examples.ts";
import type { TextContent, TrainingRecord } from "../data/record.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import type { TrainEvent } from "./events.ts";

/** Characters that are encoded between two words about it. */
const CHUNK = 1 << 20;

/** Longest beginning of a held-out document that is measured, in characters: one book shall not stand for all. */
const LONGEST_HELD = 16384;

/** The text of a record of plain text. */
export const textOf = (record: TrainingRecord): string => (record as TextContent).text;

/**
 * Windows of at most `contextLength` tokens of every document, each token but a document's first trained on.
 * The windows of a file in `repeat` stand in the result so many times.
 */
export async function* encodeCorpus(
  records: readonly TrainingRecord[],
  tokenizer: Tokenizer,
  contextLength: number,
  repeat: Readonly<Record<string, number>>,
): AsyncGenerator<TrainEvent, ExampleSet> {
  const examples: Example[] = [];
  const summary = { read: 0, kept: 0, tooLong: 0, truncated: 0, withoutAnswer: 0, tokens: 0, trainedTokens: 0, controlled: 0 };
  const total = records.reduce((sum, record) => sum + textOf(record).length, 0);
  let done = 0;
  let start = 0;
  while (start < records.length) {
    let end = start;
    let characters = 0;
    while (end < records.length && (characters === 0 || characters + textOf(records[end]!).length <= CHUNK)) characters += textOf(records[end++]!).length;
    for (let i = start; i < end; i++) {
      const record = records[i]!;
      const made = makeExamples([record], tokenizer, { maxLength: contextLength, trainOn: "all", longExamples: "error" });
      const times = repeat[basename(record.source)] ?? 1;
      for (let time = 0; time < times; time++) {
        for (const example of made.examples) examples.push(example);
        for (const key of Object.keys(summary) as (keyof typeof summary)[]) summary[key] += made.summary[key];
      }
    }
    start = end;
    done += characters;
    if (total > CHUNK) yield { type: "preparing", work: "encoding the corpus", done: done / total };
    // Lets the engine's thread and Ctrl-C come to word.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { examples, summary };
}

/** Held-out text that one evaluation reads. */
export interface HeldText {
  readonly records: readonly TrainingRecord[];
  /** UTF-8 bytes of these. */
  readonly bytes: number;
}

/** Beginnings of held-out documents in an order of the seed's, until they have `tokens` tokens. */
export function heldOutText(documents: readonly TrainingRecord[], tokens: number, tokenizer: Tokenizer, seed: number): HeldText {
  const records: TrainingRecord[] = [];
  let bytes = 0;
  let found = 0;
  for (const document of Random.named(seed, "held-out text").shuffle([...documents])) {
    if (found >= tokens) break;
    const whole = textOf(document);
    const text = beginningOf(whole);
    records.push({ ...(document as TextContent & TrainingRecord), text });
    bytes += new TextEncoder().encode(text).length;
    found += tokenizer.encode(text, { addSpecialTokens: true }).length;
  }
  return { records, bytes };
}

/** At most `LONGEST_HELD` characters, without half a surrogate pair at the end. */
function beginningOf(text: string): string {
  if (text.length <= LONGEST_HELD) return text;
  const last = text.charCodeAt(LONGEST_HELD - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? LONGEST_HELD - 1 : LONGEST_HELD);
}

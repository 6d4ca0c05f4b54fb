/** Makes the examples of a whole data set: what is too long, or has nothing to train on, is counted, never lost silently. */
import { GiantError } from "../base/errors.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { IGNORED_LABEL } from "./batch.ts";
import { encodeControl, exampleOf } from "./example.ts";
import type { Example, TrainOn } from "./example.ts";
import { Problems } from "./problems.ts";
import type { TrainingRecord } from "./record.ts";

/** What becomes of an example longer than the longest sequence: left out, cut off at its end, or refused. */
export type LongExamples = "drop" | "truncate" | "error";

export interface ExampleOptions {
  /** The longest sequence, in tokens. */
  readonly maxLength: number;
  readonly trainOn: TrainOn;
  readonly longExamples: LongExamples;
  /** Longest control text, in tokens; without it controls are not read. */
  readonly controlLength?: number;
  /** Tokens in front of every example, which count in no length and no sum; the last of them predicts the example's first. */
  readonly virtualTokens?: readonly number[];
}

export interface ExampleSummary {
  /** Records read. */
  readonly read: number;
  /** Examples kept: plain text may give several a record. */
  readonly kept: number;
  /** Examples that were too long: left out, */
  readonly tooLong: number;
  /** or cut off at their end. */
  readonly truncated: number;
  /** Examples without a token to train on, left out. */
  readonly withoutAnswer: number;
  /** Tokens of the kept examples. */
  readonly tokens: number;
  /** Those of them that count in the loss. */
  readonly trainedTokens: number;
  /** Kept examples with a control text that is read. */
  readonly controlled: number;
}

export interface ExampleSet {
  readonly examples: readonly Example[];
  readonly summary: ExampleSummary;
}

/**
 * The examples of `records`, in their order. Plain text longer than the longest sequence is cut into windows, whatever
 * the policy: all of it is trained on, and nothing is lost.
 * @throws GiantError("data") under the policy `error`, naming the lines that are too long.
 */
export function makeExamples(records: readonly TrainingRecord[], tokenizer: Tokenizer, options: ExampleOptions): ExampleSet {
  const { maxLength, longExamples, virtualTokens = [] } = options;
  const examples: Example[] = [];
  const problems = new Problems(records[0]?.source ?? "data");
  let tooLong = 0;
  let truncated = 0;
  let withoutAnswer = 0;
  let tokens = 0;
  let trainedTokens = 0;
  let controlled = 0;
  const keep = (example: Example): void => {
    const trained = trainedOf(example);
    if (trained === 0) {
      withoutAnswer++;
      return;
    }
    examples.push(withInFront(example, virtualTokens));
    tokens += example.tokens.length;
    trainedTokens += trained;
    if (example.control !== undefined) controlled++;
  };
  for (const record of records) {
    const plain = exampleOf(record, tokenizer, options.trainOn, virtualTokens.length > 0);
    const length = plain.tokens.length;
    const control = options.controlLength === undefined ? undefined : encodeControl(record, tokenizer);
    const controlTooLong = (control?.length ?? 0) > (options.controlLength ?? 0);
    if (controlTooLong && longExamples !== "truncate") {
      tooLong++;
      if (longExamples === "error") problems.add(record.line, `the control has ${control!.length} tokens, but at most ${options.controlLength} were allowed`);
      continue;
    }
    if (controlTooLong) truncated++;
    const example = control === undefined ? plain : { ...plain, control: control.subarray(0, options.controlLength) };
    if (length <= maxLength) keep(example);
    else if (record.kind === "text") for (const window of windowsOf(example, maxLength)) keep(window);
    else if (longExamples === "truncate") {
      if (!controlTooLong) truncated++;
      keep(slice(example, 0, maxLength));
    } else {
      tooLong++;
      if (longExamples === "error") problems.add(record.line, `the example has ${length} tokens, but at most ${maxLength} were allowed`);
    }
  }
  problems.throwIfAny();
  return { examples, summary: { read: records.length, kept: examples.length, tooLong, truncated, withoutAnswer, tokens, trainedTokens, controlled } };
}

/** Throws GiantError("data") when no example is left, saying what became of the records. */
export function requireExamples({ examples, summary }: ExampleSet, source: string, maxLength: number): void {
  if (examples.length > 0) return;
  const { read, tooLong, withoutAnswer } = summary;
  throw new GiantError(
    "data",
    `${source}: none of its ${read} records can be trained on: ${tooLong} are longer than ${maxLength} tokens, ${withoutAnswer} have no token of an answer left`,
    {
      hint: "Allow longer sequences (--max-length) if the model does, or shorten the records.",
      facts: { source, ...summary },
    },
  );
}

/** Tokens of an example that count in the loss. */
export function trainedOf(example: Example): number {
  return example.labels.reduce((count, label) => (label === IGNORED_LABEL ? count : count + 1), 0);
}

/** Windows overlap by one token: the first token of a window is predicted in the window before. */
function windowsOf(example: Example, maxLength: number): Example[] {
  const windows: Example[] = [];
  const step = Math.max(1, maxLength - 1);
  for (let start = 0; start === 0 || start < example.tokens.length - 1; start += step) windows.push(slice(example, start, start + maxLength));
  return windows;
}

function slice(example: Example, start: number, end: number): Example {
  const labels = example.labels.slice(start, end);
  if (start > 0) labels[0] = IGNORED_LABEL;
  return { ...example, tokens: example.tokens.slice(start, end), labels };
}

function withInFront(example: Example, tokens: readonly number[]): Example {
  if (tokens.length === 0) return example;
  const labels = new Int32Array(tokens.length + example.labels.length).fill(IGNORED_LABEL);
  labels.set(example.labels, tokens.length);
  return { ...example, tokens: Int32Array.from([...tokens, ...example.tokens]), labels };
}

/** Turns records into token sequences with labels: what is trained on, and what is only read. */
import { GiantError } from "../base/errors.ts";
import { encodeChat } from "../tokenize/chat-encoding.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { IGNORED_LABEL } from "./batch.ts";
import { styleMessages } from "./prompt-style.ts";
import type { StyledPart } from "./prompt-style.ts";
import type { MessagesContent, RecordContent, TrainingRecord } from "./record.ts";

export interface Example {
  readonly tokens: Int32Array; // [T]
  /** The token itself where it is trained on, −100 elsewhere; without something in front, the first token is predicted by nothing and never trained. */
  readonly labels: Int32Array; // [T]
  /** The tokens of its control text. */
  readonly control?: Int32Array; // [U]
  readonly source: string;
  readonly line: number;
}

/** Tokens with the parts that the model has to produce. */
interface Sequence {
  readonly tokens: number[];
  readonly trained: boolean[];
}

export type TrainOn = "answers" | "all";

/** The example of one record, of any length; `firstPredicted` where something stands in front that predicts its first token. */
export function exampleOf(record: TrainingRecord, tokenizer: Tokenizer, trainOn: TrainOn, firstPredicted = false): Example {
  const { tokens, trained } = located(record, () => sequenceOf(record, tokenizer));
  const labels = Int32Array.from(tokens, (token, i) => ((i > 0 || firstPredicted) && (trainOn === "all" || trained[i]!) ? token : IGNORED_LABEL));
  return { tokens: Int32Array.from(tokens), labels, source: record.source, line: record.line };
}

/**
 * The tokens of what a model is asked: the same ids with which the record's training example begins.
 * @param question a record that ends before the answer, as `questionOf` gives it.
 */
export function encodeQuestion(question: RecordContent, tokenizer: Tokenizer): number[] {
  switch (question.kind) {
    case "messages": {
      const template = tokenizer.chatTemplate;
      if (template !== undefined) {
        const text = template.render(question.messages, { addGenerationPrompt: true, tools: question.tools });
        return tokenizer.encode(text, { addSpecialTokens: false });
      }
      const parts = styleMessages({ ...question, messages: [...question.messages, { role: "assistant", content: "" }] });
      return encodeParts(parts.slice(0, -1), tokenizer, true).tokens;
    }
    case "completion":
      return encodeStart(question.prompt, tokenizer, true);
    case "text":
      return encodeStart(question.text, tokenizer, true);
  }
}

/** The tokens of a record's control text; undefined where it has none. */
export function encodeControl({ control }: Pick<TrainingRecord, "control">, tokenizer: Tokenizer): Int32Array | undefined {
  const tokens = control === undefined ? [] : tokenizer.encode(control, { addSpecialTokens: false });
  return tokens.length === 0 ? undefined : Int32Array.from(tokens);
}

function sequenceOf(record: RecordContent, tokenizer: Tokenizer): Sequence {
  switch (record.kind) {
    case "messages":
      return tokenizer.chatTemplate === undefined ? encodeParts(styleMessages(record), tokenizer, true) : encodeTemplated(record, tokenizer);
    case "completion":
      return encodeParts(
        [
          { text: record.prompt, isAnswer: false },
          { text: record.completion, isAnswer: true },
        ],
        tokenizer,
        true,
      );
    case "text":
      return encodeParts([{ text: record.text, isAnswer: true }], tokenizer, record.goesOn !== true);
  }
}

function encodeTemplated(record: MessagesContent, tokenizer: Tokenizer): Sequence {
  const encoding = encodeChat(tokenizer, record.messages, { addGenerationPrompt: false, tools: record.tools });
  const sequence: Sequence = { tokens: encoding.tokens, trained: Array.from(encoding.trained, (flag) => flag === 1) };
  // A template that writes nothing behind the last answer would never teach the model to stop.
  const last = sequence.trained.lastIndexOf(true);
  if (last === sequence.tokens.length - 1 && last >= 0 && !tokenizer.addedIds.has(sequence.tokens[last]!)) endText(sequence, tokenizer);
  return sequence;
}

/**
 * Encodes alternating prompts and answers, each answer ended by the end-of-text token, which is trained too.
 *
 * A prompt and its answer are encoded as one text, so that the ids are those of the text; the answer begins at the first
 * token that differs from the prompt's own encoding. Where the border falls into a token (a prompt that ends in the space
 * that the answer's first word takes along), that token belongs to the answer.
 */
function encodeParts(parts: readonly StyledPart[], tokenizer: Tokenizer, ended: boolean): Sequence {
  const sequence: Sequence = { tokens: [], trained: [] };
  let prompt = "";
  for (const part of parts) {
    if (!part.isAnswer) {
      prompt += part.text;
      continue;
    }
    const first = sequence.tokens.length === 0;
    const tokens = encodeStart(prompt + part.text, tokenizer, first);
    const start = prompt === "" ? 0 : commonPrefix(encodeStart(prompt, tokenizer, first), tokens);
    append(sequence, tokens, start);
    if (ended) endText(sequence, tokenizer);
    prompt = "";
  }
  // What stands behind the last answer is read, never produced.
  if (prompt !== "") {
    const tokens = encodeStart(prompt, tokenizer, sequence.tokens.length === 0);
    append(sequence, tokens, tokens.length);
  }
  return sequence;
}

/** Encodes a text that something follows: an end-of-text token that the tokenizer adds by itself is taken off again. */
function encodeStart(text: string, tokenizer: Tokenizer, addSpecialTokens: boolean): number[] {
  const tokens = tokenizer.encode(text, { addSpecialTokens });
  const endsInSpecial = addSpecialTokens && tokenizer.eosId !== undefined && tokens.at(-1) === tokenizer.eosId;
  // The text may itself end in the written end-of-text token: then that one is the text's. A lone token is a beginning.
  if (endsInSpecial && tokenizer.encode(text, { addSpecialTokens: false }).at(-1) !== tokenizer.eosId && tokens.length > 1) tokens.pop();
  return tokens;
}

function endText(sequence: Sequence, tokenizer: Tokenizer): void {
  if (tokenizer.eosId === undefined || sequence.tokens.at(-1) === tokenizer.eosId) return;
  sequence.tokens.push(tokenizer.eosId);
  sequence.trained.push(true);
}

function append(sequence: Sequence, tokens: readonly number[], firstTrained: number): void {
  for (const [i, token] of tokens.entries()) {
    sequence.tokens.push(token);
    sequence.trained.push(i >= firstTrained);
  }
}

function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

/** An error about a record says where the record is. */
function located<T>(record: TrainingRecord, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof GiantError) || error.code === "internal") throw error;
    throw new GiantError(error.code, `${record.source}:${record.line}: ${error.message}`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      facts: { ...error.facts, source: record.source, line: record.line },
      cause: error,
    });
  }
}

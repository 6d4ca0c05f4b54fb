/** The batch that both programs of the benchmark train on: made by rule, so that no file need be shared. */
import { type Batch, IGNORED_LABEL } from "../src/data/batch.ts";

/** Tokens by a linear congruential generator (Numerical Recipes' constants), as bench/peers/lora_step.py makes them. */
export function makeTokens(count: number, vocabulary: number): Int32Array {
  const tokens = new Int32Array(count);
  let state = 1;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    tokens[index] = (state >>> 8) % vocabulary;
  }
  return tokens;
}

/** `rows` rows of `length` tokens, one example each; the last `labelled` part of each row carries a loss. */
export function makeBatch(rows: number, length: number, labelled: number, vocabulary: number): Batch {
  const count = rows * length;
  const tokens = makeTokens(count, vocabulary);
  const firstLabel = length - Math.round(length * labelled);
  const labelRows: number[] = [];
  const labelIds: number[] = [];
  for (let row = 0; row < rows; row++) {
    // The label of a position is the next token; position 0 is never anybody's label.
    for (let at = Math.max(1, firstLabel); at < length; at++) {
      labelRows.push(row * length + at - 1);
      labelIds.push(tokens[row * length + at] ?? IGNORED_LABEL);
    }
  }
  return {
    rows,
    length,
    tokens,
    positions: Int32Array.from({ length: count }, (_, index) => index % length),
    segments: new Int32Array(count).fill(1),
    labelRows: Int32Array.from(labelRows),
    labelIds: Int32Array.from(labelIds),
  };
}

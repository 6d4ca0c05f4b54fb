/** Checks that a tokenizer fits a model: no id may lie outside the model's embedding. */
import { GiantError } from "../base/errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * Throws GiantError "tokenizer" when the tokenizer has an id that the model's `vocab_size` does not cover;
 * an embedding that is larger than the vocabulary (padded for speed) is fine.
 */
export function checkTokenizerFits(tokenizer: Tokenizer, vocabSize: number): void {
  const largest = tokenizer.vocabularySize - 1;
  if (largest < vocabSize) return;
  const token = JSON.stringify(tokenizer.tokenOf(largest));
  throw new GiantError(
    "tokenizer",
    `${tokenizer.where}: the tokenizer's largest token ${token} has id ${largest}, but the model's vocab_size is ${vocabSize} (needed at least ${tokenizer.vocabularySize})`,
    {
      hint: "Use the tokenizer that came with the model.",
      facts: { token: tokenizer.tokenOf(largest), id: largest, vocab_size: vocabSize },
    },
  );
}

/** A tokenizer of single bytes, for tests that need one but not any particular one. */
import { tinyTokenizer, tinyTokenizerConfig } from "./tiny/model.ts";
import { createTokenizer, type Tokenizer } from "../src/tokenize/tokenizer.ts";

export function byteTokenizer(): Tokenizer {
  return createTokenizer({ tokenizerJson: tinyTokenizer(), tokenizerConfig: tinyTokenizerConfig(), where: "test" });
}

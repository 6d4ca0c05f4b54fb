/** Byte-level text as GPT-2 has it: a printable character for each byte, and where text is split into words. */

/** GPT-2's printable character for each byte (openai/gpt-2, encoder.py, bytes_to_unicode). */
export function byteSpellings(): string[] {
  const printable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

/** What GPT-2 splits text into: English endings, words, numbers and other characters with a space before them, white space. */
const WORD = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** The pre-tokeniser, post-processor and decoder of a byte-level tokenizer.json; `use_regex` splits at `WORD`. */
export const BYTE_LEVEL = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true } as const;

/** The pre-tokeniser of tokenizer.json under which a tokenizer splits text as `eachWord` does. */
export function preTokenizer(splitDigits: boolean): Record<string, unknown> {
  if (!splitDigits) return BYTE_LEVEL;
  return { type: "Sequence", pretokenizers: [{ type: "Digits", individual_digits: true }, BYTE_LEVEL] };
}

/**
 * Calls `visit` for each word of a text, one after the other; together they are the text.
 * @param splitDigits makes every digit (any numeric character) a word of its own, so that numbers are spelt the same everywhere.
 */
export function eachWord(text: string, splitDigits: boolean, visit: (word: string) => void): void {
  const parts = splitDigits ? text.split(/(\p{N})/u) : [text];
  for (const part of parts) {
    WORD.lastIndex = 0;
    for (let match = WORD.exec(part); match !== null; match = WORD.exec(part)) visit(match[0]);
  }
}

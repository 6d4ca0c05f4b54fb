/** The loss in a unit that does not depend on the tokenizer, so that models with different vocabularies can be compared. */

/**
 * Bits per UTF-8 byte of text: `natsPerToken · tokens / (bytes · ln 2)`.
 * @param natsPerToken mean cross-entropy of the tokens, natural logarithm.
 * @param tokens how many tokens the mean is over; the end of a document counts where it was predicted.
 * @param bytes UTF-8 bytes of the text that the tokens stand for.
 */
export function bitsPerByte(natsPerToken: number, tokens: number, bytes: number): number {
  return (natsPerToken * tokens) / (bytes * Math.LN2);
}

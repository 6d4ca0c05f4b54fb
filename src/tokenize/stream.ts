/** Turns tokens into text one at a time, for output that is shown while it is made. */
import type { DecodeOptions, Tokenizer } from "./tokenizer.ts";

/**
 * An incremental decoder: what `push` returns is final, and never ends in half a character.
 *
 * The pieces joined (with `end()`'s) are `tokenizer.decode` of all the tokens. One exception, since shown text cannot be
 * taken back: in a run of `<0xNN>` tokens that turns out not to be UTF-8, `decode` replaces the whole run by U+FFFD,
 * and the stream only those of its bytes that were not yet shown as whole characters.
 */
export class TextStream {
  readonly #tokenizer: Tokenizer;
  readonly #options: DecodeOptions;
  /** The tokens of the last piece: decoders treat the first token of a text in their own way, so new ones need a predecessor. */
  #shown: number[] = [];
  #shownText = "";
  #pending: number[] = [];

  constructor(tokenizer: Tokenizer, options: DecodeOptions) {
    this.#tokenizer = tokenizer;
    this.#options = options;
  }

  /** Takes one token; returns the text that is now certain, which may be empty. */
  push(id: number): string {
    // A token without text must not become the predecessor of the next one, which would lose its leading space.
    if (this.#tokenizer.tokenOf(id) === undefined) return "";
    if (this.#options.skipSpecialTokens && this.#tokenizer.specialIds.has(id)) return "";
    this.#pending.push(id);
    const text = this.#decode([...this.#shown, ...this.#pending]);
    // U+FFFD at the end is, most of the time, a character whose last bytes are still to come.
    return text.endsWith("\uFFFD") ? "" : this.#take(text);
  }

  /** Returns what was held back; broken characters are shown as U+FFFD. */
  end(): string {
    return this.#pending.length === 0 ? "" : this.#take(this.#decode([...this.#shown, ...this.#pending]));
  }

  #decode(ids: readonly number[]): string {
    return this.#tokenizer.decode(ids, this.#options);
  }

  #take(text: string): string {
    const piece = text.startsWith(this.#shownText) ? text.slice(this.#shownText.length) : this.#decode(this.#pending);
    if (piece === "") {
      this.#shown.push(...this.#pending);
    } else {
      this.#shown = this.#pending;
      this.#shownText = this.#decode(this.#shown);
    }
    this.#pending = [];
    return piece;
  }
}

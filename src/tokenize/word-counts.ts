/** Counts the words of a corpus, document by document: all that the training of a tokenizer needs to know of it. */
import { eachWord } from "./byte-level.ts";

export interface WordOptions {
  /** Every digit is a word of its own (default false). */
  readonly splitDigits?: boolean;
}

export class WordCounts {
  readonly splitDigits: boolean;
  readonly #counts = new Map<string, number>();
  readonly #encoder = new TextEncoder();
  #bytes = 0;
  #words = 0;

  constructor(options: WordOptions = {}) {
    this.splitDigits = options.splitDigits ?? false;
  }

  /** UTF-8 bytes of all texts added. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Words of all texts added. */
  get words(): number {
    return this.#words;
  }

  /** Different words. */
  get distinct(): number {
    return this.#counts.size;
  }

  /** Adds a document. Words never reach from one document into the next. */
  add(text: string): void {
    this.#bytes += this.#encoder.encode(text).length;
    eachWord(text, this.splitDigits, (word) => {
      this.#words++;
      const count = this.#counts.get(word);
      // A part of a string can keep the whole string in memory; what is kept is a copy of its characters.
      if (count === undefined) this.#counts.set(word.split("").join(""), 1);
      else this.#counts.set(word, count + 1);
    });
  }

  /** Each word with its count, in the order of first appearance. */
  entries(): IterableIterator<[word: string, count: number]> {
    return this.#counts.entries();
  }
}

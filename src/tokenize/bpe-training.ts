/** Trains a byte-level BPE: the most frequent pair of neighbours becomes a token, again and again (Sennrich et al. 2016). */
import { GiantError } from "../base/errors.ts";
import { byteSpellings } from "./byte-level.ts";
import { MergeQueue } from "./merge-queue.ts";
import type { WordCounts } from "./word-counts.ts";

export interface BpeOptions {
  /** Tokens in all: the special ones, 256 bytes and merges. */
  readonly vocabSize: number;
  /** Tokens that stand for themselves and come first, with ids from 0. */
  readonly specialTokens: readonly string[];
  /** A pair is merged only when the corpus has it as often as this (default 2). */
  readonly minFrequency?: number;
}

/** A vocabulary: the special tokens, then the bytes in the order of their spellings, then what the merges made. */
export interface BpeVocabulary {
  /** Each token, bytes spelt as GPT-2 spells them, at its id. */
  readonly tokens: readonly string[];
  /** Pairs in the order they are merged in. */
  readonly merges: readonly (readonly [left: string, right: string])[];
  readonly specialTokens: readonly string[];
  readonly splitDigits: boolean;
}

const BYTES = 256;

/** Pairs of ids as one number: `left * PAIR + right` is exact for ids below 2^26. */
const PAIR = 2 ** 26;

/**
 * Trains as Hugging Face's `BpeTrainer` does, with the same ids and merges: the alphabet is always all 256 bytes, pairs of
 * equal count go by lower ids.
 * @throws GiantError("usage") when the vocabulary has no room for the bytes, ("data") when the corpus has too few pairs.
 */
export function trainBpe(counts: WordCounts, options: BpeOptions): BpeVocabulary {
  const { vocabSize, specialTokens, minFrequency = 2 } = options;
  checkOptions(vocabSize, specialTokens, minFrequency);
  const spellings = byteSpellings();
  const tokens = [...specialTokens, ...spellings.toSorted((a, b) => a.codePointAt(0)! - b.codePointAt(0)!)];
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const words = new Words(
    counts,
    spellings.map((spelling) => idOf.get(spelling)!),
  );
  const merges: (readonly [string, string])[] = [];
  while (tokens.length < vocabSize) {
    const top = words.mostFrequent();
    if (top === undefined || top.count < minFrequency) throw tooFewPairs(counts, vocabSize, tokens.length, minFrequency);
    const pair = [tokens[top.left]!, tokens[top.right]!] as const;
    const token = pair.join("");
    // Merges make each token once, as they go through every word alike; only a special token can be spelt by merges, too.
    const id = idOf.get(token) ?? tokens.push(token) - 1;
    merges.push(pair);
    words.merge(top.left, top.right, id, top.words);
  }
  return { tokens, merges, specialTokens, splitDigits: counts.splitDigits };
}

/** The distinct words of the corpus as ids, with the counts of all pairs of neighbours kept up to date. */
class Words {
  /** All words' ids, one after the other; a word shrinks in its place. */
  readonly #ids: Int32Array;
  readonly #starts: Int32Array;
  readonly #lengths: Int32Array;
  readonly #counts: Float64Array;
  readonly #pairCounts = new Map<number, number>();
  readonly #queue = new MergeQueue();
  /** The words in which pairs came up since the last flush, ascending. */
  #fresh = new Map<number, number[]>();

  constructor(counts: WordCounts, byteIds: readonly number[]) {
    const encoder = new TextEncoder();
    const encoded = Array.from(counts.entries(), ([word]) => encoder.encode(word));
    this.#starts = new Int32Array(encoded.length);
    this.#lengths = Int32Array.from(encoded, (bytes) => bytes.length);
    this.#counts = Float64Array.from(counts.entries(), ([, count]) => count);
    this.#ids = new Int32Array(encoded.reduce((sum, bytes) => sum + bytes.length, 0));
    let start = 0;
    for (const [word, bytes] of encoded.entries()) {
      this.#starts[word] = start;
      for (const byte of bytes) this.#ids[start++] = byteIds[byte]!;
      for (let i = start - bytes.length; i + 1 < start; i++) this.#change(this.#ids[i]!, this.#ids[i + 1]!, word, 1);
    }
    this.#flush();
  }

  /** The pair to merge next; undefined when no neighbours are left. */
  mostFrequent(): { readonly left: number; readonly right: number; readonly count: number; readonly words: readonly number[] } | undefined {
    for (let top = this.#queue.pop(); top !== undefined; top = this.#queue.pop()) {
      const count = this.#pairCounts.get(top.left * PAIR + top.right)!;
      if (count === top.count) return top;
      top.count = count;
      if (count > 0) this.#queue.push(top);
    }
    return undefined;
  }

  /** Puts `id` in the place of each pair in the words, from left to right. */
  merge(left: number, right: number, id: number, words: readonly number[]): void {
    const ids = this.#ids;
    for (const word of words) {
      const start = this.#starts[word]!;
      const end = start + this.#lengths[word]!;
      let write = start;
      for (let read = start; read < end; read++) {
        if (ids[read] !== left || read + 1 === end || ids[read + 1] !== right) {
          ids[write++] = ids[read]!;
          continue;
        }
        if (write > start) {
          this.#change(ids[write - 1]!, left, word, -1);
          this.#change(ids[write - 1]!, id, word, 1);
        }
        ids[write++] = id;
        read++;
        if (read + 1 < end) {
          this.#change(right, ids[read + 1]!, word, -1);
          this.#change(id, ids[read + 1]!, word, 1);
        }
      }
      this.#lengths[word] = write - start;
    }
    this.#flush();
  }

  #change(left: number, right: number, word: number, sign: 1 | -1): void {
    const pair = left * PAIR + right;
    this.#pairCounts.set(pair, (this.#pairCounts.get(pair) ?? 0) + sign * this.#counts[word]!);
    if (sign < 0) return;
    const known = this.#fresh.get(pair);
    if (known === undefined) this.#fresh.set(pair, [word]);
    else if (known.at(-1) !== word) known.push(word);
  }

  #flush(): void {
    for (const [pair, words] of this.#fresh) {
      const count = this.#pairCounts.get(pair)!;
      if (count > 0) this.#queue.push({ left: Math.floor(pair / PAIR), right: pair % PAIR, count, words });
    }
    this.#fresh = new Map();
  }
}

function checkOptions(vocabSize: number, specialTokens: readonly string[], minFrequency: number): void {
  const least = BYTES + specialTokens.length;
  if (!Number.isSafeInteger(vocabSize) || vocabSize < least || vocabSize > PAIR) {
    throw new GiantError("usage", `vocabulary of ${vocabSize} tokens: a whole number from ${least} to ${PAIR} was needed`, {
      hint: `${BYTES} bytes and ${specialTokens.length} special tokens are always in it.`,
      facts: { vocabSize, least },
    });
  }
  if (!Number.isSafeInteger(minFrequency) || minFrequency < 1) {
    throw new GiantError("usage", `least frequency of a pair ${minFrequency}: a whole number from 1 was needed`, { facts: { minFrequency } });
  }
  const taken = new Set(byteSpellings());
  for (const token of specialTokens) {
    if (token === "" || taken.has(token)) {
      throw new GiantError("usage", `special token ${JSON.stringify(token)}: it is ${token === "" ? "empty" : "there already"}`, {
        hint: "Each special token must be a text of its own, longer than one character.",
        facts: { token },
      });
    }
    taken.add(token);
  }
}

function tooFewPairs(counts: WordCounts, vocabSize: number, found: number, minFrequency: number): GiantError {
  const corpus = `${counts.bytes} bytes, ${counts.distinct} different words, pairs that occur ${minFrequency} times or more`;
  return new GiantError("data", `vocabulary of ${vocabSize} tokens: the corpus gives only ${found} (${corpus})`, {
    hint: `Lower --vocab-size to ${found} or less, or give more text.`,
    facts: { vocabSize, found, bytes: counts.bytes, distinctWords: counts.distinct, minFrequency },
  });
}

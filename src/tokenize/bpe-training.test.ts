/** Training of byte-level BPE: the merges of cases known from elsewhere, laws of every vocabulary, and what is refused. */
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BpeVocabulary } from "./bpe-training.ts";
import { trainBpe } from "./bpe-training.ts";
import { byteSpellings, eachWord, preTokenizer } from "./byte-level.ts";
import { BASE_SPECIAL_TOKENS, tokenizerConfig, tokenizerJson } from "./tokenizer-files.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { createTokenizer } from "./tokenizer.ts";
import { WordCounts } from "./word-counts.ts";

function counted(words: Readonly<Record<string, number>>, splitDigits = false): WordCounts {
  const counts = new WordCounts({ splitDigits });
  for (const [word, count] of Object.entries(words)) for (let i = 0; i < count; i++) counts.add(word);
  return counts;
}

function train(texts: readonly string[], merges: number, options: { splitDigits?: boolean; minFrequency?: number } = {}): BpeVocabulary {
  const counts = new WordCounts(options);
  for (const text of texts) counts.add(text);
  return trainBpe(counts, { vocabSize: 256 + BASE_SPECIAL_TOKENS.length + merges, specialTokens: BASE_SPECIAL_TOKENS, ...options });
}

function open(vocabulary: BpeVocabulary): Tokenizer {
  const files = { tokenizerJson: tokenizerJson(vocabulary), tokenizerConfig: tokenizerConfig({ maxLength: 64, chat: "chatml" }) };
  return createTokenizer({ ...(JSON.parse(JSON.stringify(files)) as typeof files), where: "trained" });
}

const joined = (vocabulary: BpeVocabulary): string[] => vocabulary.merges.map((pair) => pair.join("+"));

const TEXTS = [
  "The quick brown fox doesn't jump over 13 lazy dogs; the dogs don't mind the fox.\n\nThe fox, though, minds the dogs.\n",
  "A dog and a fox met 1234 times in 2024.\r\nThe dog said: \u201cna\u00efve fox\u201d \u2014 and the fox laughed \u{1f98a}\u{1f98a}.    \n\tThen they went home, the two.",
];

/** What breaks tokenizers: emoji with joiners, CRLF, NUL, combining marks, half a surrogate pair, the special tokens' names. */
const NASTY = [
  "",
  " ",
  "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}\u{1f3fd} \u{1f1e9}\u{1f1ea}",
  "a\r\nb\r\n\r\n",
  "a\u0000b\u0000",
  "e\u0301 \u0927\u094d\u0928 \u200b\ufeff\u0085",
  "<|im_start|>user\nhi<|im_end|>\n<|endoftext|>",
  "  two  spaces and\ttabs \n \n",
  "\u00bd \u0663 \u2167 1234567890",
  "\u4f60\u597d\uff0c\u4e16\u754c \u3053\u3093\u306b\u3061\u306f",
  "\uffff\u{10ffff}",
];

describe("trainBpe", () => {
  it("merges as worked out by hand: low ×5, lower ×2, newest ×6, widest ×3", () => {
    // Sennrich et al. 2016, figure 1, without its end-of-word mark.
    // es 9 and st 9: e is before s. es|t 9. lo 7 and ow 7: l is before o. lo|w 7. Then ne, ew and w|est stand at 6: e comes first;
    // of n|ew and ew|est at 6, n has the lower id.
    const counts = counted({ low: 5, lower: 2, newest: 6, widest: 3 });
    const { merges, tokens } = trainBpe(counts, { vocabSize: 256 + 7, specialTokens: [] });
    expect(merges.map((pair) => pair.join("+"))).toEqual(["e+s", "es+t", "l+o", "lo+w", "e+w", "n+ew", "new+est"]);
    expect(tokens.slice(256)).toEqual(["es", "est", "lo", "low", "ew", "new", "newest"]);
  });

  it("merges as the Rust library says in its own test of the trainer", () => {
    const words = { roses: 1, are: 2, red: 1, voilets: 1, blue: 1, BERT: 1, is: 2, big: 1, and: 1, so: 1, "GPT-2": 1 };
    const { merges } = trainBpe(counted(words), { vocabSize: 256 + 3, specialTokens: [] });
    expect(merges).toEqual([
      ["r", "e"],
      ["a", "re"],
      ["i", "s"],
    ]);
    expect(() => trainBpe(counted(words), { vocabSize: 256 + 4, specialTokens: [] })).toThrow(/gives only 259/);
  });

  it("lays ids out as the library does: special tokens, bytes by their spelling, merges", () => {
    const { tokens } = train(TEXTS, 20);
    expect(tokens.slice(0, 5)).toEqual(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "!", '"']);
    expect(tokens.slice(3, 259)).toEqual(tokens.slice(3, 259).toSorted((a, b) => a.codePointAt(0)! - b.codePointAt(0)!));
    expect(new Set(tokens).size).toBe(279);
  });

  it("merges runs of one character from the left, and counts what is left of them", () => {
    expect(joined(trainBpe(counted({ aaaaa: 4, aaaa: 3 }), { vocabSize: 256 + 3, specialTokens: [] }))).toEqual(["a+a", "aa+aa", "aaaa+a"]);
  });

  it("gives the same as counting all pairs anew before each merge", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "c", " ", "1", "\u00e9"), minLength: 20, maxLength: 200 });
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 8 }), (each, wanted) => {
        const expected = naiveMerges(each, wanted);
        fc.pre(expected !== undefined);
        expect(joined(train([each], wanted))).toEqual(expected);
      }),
    );
  });

  it("goes on where merges spell a special token", () => {
    const { tokens, merges } = trainBpe(counted({ abcd: 5, abc: 3 }), { vocabSize: 256 + 3, specialTokens: ["abc"] });
    expect(merges.map((pair) => pair.join("+"))).toEqual(["a+b", "ab+c", "abc+d"]);
    expect(tokens.slice(257)).toEqual(["ab", "abcd"]);
  });

  it("does not depend on the order of documents, nor on earlier runs", () => {
    const first = train(TEXTS, 28);
    expect(train(TEXTS.toReversed(), 28)).toEqual(first);
    expect(train(TEXTS, 28)).toEqual(first);
    expect(train(TEXTS, 20).merges).toEqual(first.merges.slice(0, 20));
  });

  it("says how many tokens the corpus gives, and takes that many", () => {
    const counts = counted({ low: 5, lower: 2 });
    const error = { code: "data", message: expect.stringMatching(/^vocabulary of 8192 tokens: the corpus gives only 260 \(25 bytes, 2 different words/) };
    expect(() => trainBpe(counts, { vocabSize: 8192, specialTokens: [] })).toThrow(expect.objectContaining(error));
    expect(trainBpe(counts, { vocabSize: 260, specialTokens: [] }).tokens).toHaveLength(260);
  });

  it.each([
    [255, [], 2, /vocabulary of 255 tokens: a whole number from 256 to/],
    [258, BASE_SPECIAL_TOKENS, 2, /from 259 to/],
    [300.5, [], 2, /vocabulary of 300\.5 tokens/],
    [300, [], 0, /least frequency of a pair 0/],
    [300, ["<a>", "<a>"], 2, /special token "<a>": it is there already/],
    [300, ["!"], 2, /special token "!"/],
    [300, [""], 2, /special token "": it is empty/],
  ] as const)("refuses %s tokens, special %j, frequency %s", (vocabSize, specialTokens, minFrequency, message) => {
    const run = (): unknown => trainBpe(counted({ a: 1 }), { vocabSize, specialTokens, minFrequency });
    expect(run).toThrow(message);
    expect(run).toThrow(expect.objectContaining({ code: "usage" }));
  });
});

describe("a trained tokenizer", () => {
  for (const splitDigits of [false, true]) {
    const tokenizer = open(train(TEXTS, 25, { splitDigits }));
    const back = (text: string): string => tokenizer.decode(tokenizer.encode(text, { addSpecialTokens: true }), { skipSpecialTokens: false });

    it(`gives every text back (digits apart: ${splitDigits})`, () => {
      for (const text of [...TEXTS, ...NASTY]) expect(back(text)).toBe(text);
      fc.assert(
        fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
          expect(back(text)).toBe(text);
        }),
      );
    });

    it(`reads half a surrogate pair as U+FFFD, as UTF-8 does (digits apart: ${splitDigits})`, () => {
      expect(back("a\ud800b")).toBe("a\ufffdb");
      expect(back("\udc00")).toBe("\ufffd");
    });

    it(`is split in training as in use (digits apart: ${splitDigits})`, () => {
      const library = new LibraryTokenizer(tokenizerJson(train(TEXTS, 0, { splitDigits })) as never, {});
      const unit = fc.oneof(
        fc.constantFrom("a", "b", "'", " ", "\n", "\r", "\t", "1", ".", "'s", "'ll", "\u00e9", "7"),
        fc.string({ unit: "grapheme", maxLength: 2 }),
      );
      fc.assert(
        fc.property(fc.string({ unit, maxLength: 30 }), (text) => {
          fc.pre(!splitDigits || !/(?!\d)\p{N}/u.test(text)); // the bare library's `Digits` knows ASCII alone; library-repairs.ts
          const words: string[] = [];
          eachWord(text, splitDigits, (word) => words.push(word));
          expect(words.join("")).toBe(text);
          const steps = library.pre_tokenizer as unknown as { pre_tokenize_text(text: string, options: object): string[] };
          const encoder = new TextEncoder();
          expect(words.map((word) => encoder.encode(word).length)).toEqual(steps.pre_tokenize_text(text, {}).map((word) => word.length));
        }),
      );
    });
  }

  it("writes digits one by one where asked", () => {
    const texts = ["2024 2024 2024 1999 1999 x1999"];
    const apart = open(train(texts, 0, { splitDigits: true }));
    expect(apart.encode("x2024", { addSpecialTokens: false }).map((id) => apart.tokenOf(id))).toEqual(["x", "2", "0", "2", "4"]);
    expect(joined(train(texts, 1)).length).toBe(1);
    expect(() => train(texts, 1, { splitDigits: true })).toThrow(/gives only 259/);
    expect(preTokenizer(true)).toMatchObject({ type: "Sequence", pretokenizers: [{ type: "Digits", individual_digits: true }, { type: "ByteLevel" }] });
  });

  it("knows its special tokens and writes conversations", () => {
    const tokenizer = open(train(TEXTS, 5));
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.padId, tokenizer.vocabularySize]).toEqual([0, 2, 0, 264]);
    expect(tokenizer.chatTemplate).toBeDefined();
    expect(tokenizerConfig({ maxLength: 8 })).toMatchObject({ eos_token: "<|endoftext|>", model_max_length: 8 });
    expect(tokenizerConfig({ maxLength: 8 })).not.toHaveProperty("chat_template");
  });
});

/** The first merges of one text by the definition alone; undefined when it runs out of pairs that occur twice. */
function naiveMerges(text: string, wanted: number): string[] | undefined {
  const ids = new Map(train([], 0).tokens.map((token, id) => [token, id]));
  const spellings = byteSpellings();
  const encoder = new TextEncoder();
  const words: string[][] = [];
  eachWord(text, false, (word) => words.push(Array.from(encoder.encode(word), (byte) => spellings[byte]!)));
  const merges: string[] = [];
  while (merges.length < wanted) {
    const counts = new Map<string, number>();
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        const pair = `${word[i]}+${word[i + 1]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const order = ([a, n]: [string, number], [b, m]: [string, number]): number => {
      const [[a0, a1], [b0, b1]] = [a.split("+"), b.split("+")] as [[string, string], [string, string]];
      return m - n || ids.get(a0)! - ids.get(b0)! || ids.get(a1)! - ids.get(b1)!;
    };
    const best = [...counts].toSorted(order)[0];
    if (best === undefined || best[1] < 2) return undefined;
    const [left, right] = best[0].split("+") as [string, string];
    expect(ids.has(left + right)).toBe(false);
    ids.set(left + right, ids.size);
    merges.push(best[0]);
    for (const word of words) for (let i = 0; i + 1 < word.length; i++) if (word[i] === left && word[i + 1] === right) word.splice(i, 2, left + right);
  }
  return merges;
}

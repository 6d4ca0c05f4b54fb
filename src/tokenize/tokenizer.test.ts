/** What a tokenizer reads from its files, and what it refuses. */
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { goldenCases, readJson } from "../../test/golden.ts";
import { GiantError } from "../base/errors.ts";
import { checkTokenizerFits } from "./fit.ts";
import { splitText } from "./library-repairs.ts";
import type { Tokenizer, TokenizerFiles } from "./tokenizer.ts";
import { createTokenizer } from "./tokenizer.ts";

const model = { type: "BPE", vocab: { a: 0, b: 1, ab: 2, "<s>": 3 }, merges: ["a b"] };
const json = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, model };

function make(tokenizerJson: unknown, files: Partial<TokenizerFiles> = {}): Tokenizer {
  return createTokenizer({ tokenizerJson, where: "folder", ...files });
}

describe("createTokenizer", () => {
  it("reads named special tokens as strings and as objects, and adds those that tokenizer.json lacks", () => {
    const tokenizer = make(json, {
      tokenizerConfig: {
        bos_token: { __type: "AddedToken", content: "<s>", special: true },
        eos_token: "</s>",
        pad_token: null,
        added_tokens_decoder: { "7": { content: "<|end|>", special: true } },
      },
      specialTokensMap: { pad_token: "a", unk_token: { content: "<s>" } },
    });
    expect([tokenizer.bosId, tokenizer.padId, tokenizer.unkId]).toEqual([3, undefined, 3]);
    expect(tokenizer.eosId).toBe(8);
    expect(tokenizer.vocabularySize).toBe(9);
    expect(tokenizer.encode("ab<|end|>ab", { addSpecialTokens: false })).toEqual([2, 7, 2]);
    expect(tokenizer.decode([2, 7, 5, 1000], { skipSpecialTokens: true })).toBe("ab");
    expect(tokenizer.decode([], { skipSpecialTokens: true })).toBe("");
    expect(tokenizer.encode("", { addSpecialTokens: false })).toEqual([]);
  });

  it("adds BOS where add_bos_token asks and tokenizer.json has no post-processor", () => {
    const config = { bos_token: "<s>", eos_token: "</s>", add_bos_token: true, add_eos_token: true };
    expect(make(json, { tokenizerConfig: config }).encode("ab", { addSpecialTokens: true })).toEqual([3, 2, 4]);
    expect(make(json, { tokenizerConfig: config }).encode("ab", { addSpecialTokens: false })).toEqual([2]);
    const llama = { bos_token: "<s>", tokenizer_class: "LlamaTokenizer" };
    expect(make(json, { tokenizerConfig: llama }).encode("ab", { addSpecialTokens: true })).toEqual([3, 2]);
    const own = { ...json, post_processor: { type: "ByteLevel" } };
    expect(make(own, { tokenizerConfig: config }).encode("ab", { addSpecialTokens: true })).toEqual([2]);
  });

  it("has an identity that tells tokenizers apart, and not the order or format of their files", () => {
    const identity = make(json).identity();
    const reordered = { ...json, model: { merges: [["a", "b"]], vocab: { "<s>": 3, ab: 2, b: 1, a: 0 }, type: "BPE" }, padding: {} };
    expect(make(reordered).identity()).toBe(identity);
    expect(make({ ...json, normalizer: { type: "NFC" } }).identity()).not.toBe(identity);
    expect(make({ ...json, model: { ...model, vocab: { ...model.vocab, c: 4 } } }).identity()).not.toBe(identity);
  });

  it.each<[string, unknown, RegExp]>([
    ["no object", [], /tokenizer\.json is \[\], needed an object/],
    ["no model", { ...json, model: undefined }, /model is missing/],
    ["unknown model", { ...json, model: { type: "Magic" } }, /model\.type is "Magic", needed one of BPE/],
    ["no vocabulary", { ...json, model: { ...model, vocab: null } }, /model\.vocab is null/],
    ["empty vocabulary", { ...json, model: { ...model, vocab: {} } }, /at least one token/],
    ["a negative id", { ...json, model: { ...model, vocab: { a: -1 } } }, /model\.vocab\["a"\] is -1/],
    ["a broken merge", { ...json, model: { ...model, merges: ["a"] } }, /model\.merges\[0\] is "a"/],
    ["a merge of unknown tokens", { ...json, model: { ...model, merges: ["a b", "b a"] } }, /model\.merges\[1\].*lacks "ba"/],
    ["an unknown step", { ...json, normalizer: { type: "Nmt" } }, /normalizer\.type is "Nmt"/],
    [
      "an unknown step inside",
      { ...json, pre_tokenizer: { type: "Sequence", pretokenizers: [{ type: "Digits" }, { type: "Foo" }] } },
      /pre_tokenizer\.pretokenizers\[1\]\.type is "Foo"/,
    ],
    ["a split without a pattern", { ...json, pre_tokenizer: { type: "Split" } }, /pre_tokenizer\.pattern is missing/],
    ["a broken regular expression", { ...json, pre_tokenizer: { type: "Split", pattern: { Regex: "(" } } }, /cannot be used/],
    ["an added token without an id", { ...json, added_tokens: [{ content: "x" }] }, /added_tokens\[0\]\.id is missing/],
    ["a whole-word token", { ...json, added_tokens: [{ id: 9, content: "x", single_word: true }] }, /single_word is true/],
    [
      "a template with an unknown token",
      { ...json, post_processor: { type: "TemplateProcessing", single: [{ SpecialToken: { id: "[CLS]" } }] } },
      /"\[CLS\]", needed a token of the vocabulary/,
    ],
    ["a Unigram without unk_id", { ...json, model: { type: "Unigram", vocab: [["a", 0]] } }, /model\.unk_id is missing/],
  ])("refuses %s", (_, file, message) => {
    expect(() => make(file)).toThrow(message);
    expect(() => make(file)).toThrow(expect.objectContaining({ code: "tokenizer" }) as GiantError);
  });

  it("refuses tokenizer_config.json of another model", () => {
    const tokenizerConfig = { added_tokens_decoder: { "1": { content: "<|x|>" } } };
    expect(() => make(json, { tokenizerConfig })).toThrow(/added_tokens_decoder\["1"\] is "<\|x\|>", but tokenizer\.json gives 1 to "b"/);
  });

  it("says that a text cannot be encoded when there is no unknown token", () => {
    const words = { ...json, model: { type: "WordLevel", vocab: { a: 0 } } };
    expect(() => make(words).encode("z", { addSpecialTokens: false })).toThrow(/outside the vocabulary/);
  });

  it("falls back to bytes in Unigram, too", () => {
    const vocab = [
      ["<unk>", 0],
      ["a", -1],
      ["<0xC3>", 0],
      ["<0xA9>", 0],
    ];
    const unigram = { ...json, model: { type: "Unigram", vocab, unk_id: 0, byte_fallback: true }, decoder: { type: "ByteFallback" } };
    const tokenizer = make(unigram);
    expect(tokenizer.encode("aé", { addSpecialTokens: false })).toEqual([1, 2, 3]);
    expect(tokenizer.decode([1, 2, 3], { skipSpecialTokens: false })).toBe("aé");
    expect(tokenizer.encode("ü", { addSpecialTokens: false })).toEqual([0]);
  });
});

describe("splitText", () => {
  it.each([
    ["Isolated", false, ["a", "-", "-", "b", "-"]],
    ["Removed", false, ["a", "b"]],
    ["Removed", true, ["-", "-", "-"]],
    ["Contiguous", false, ["a", "--", "b", "-"]],
    ["MergedWithPrevious", false, ["a-", "-", "b-"]],
    ["MergedWithNext", false, ["a", "-", "-b", "-"]],
  ])("%s (inverted: %s)", (behavior, inverted, expected) => {
    expect(splitText("a--b-", /-/gu, behavior, inverted)).toEqual(expected);
  });

  it("splits at numbers that are not ASCII digits", () => {
    const pre_tokenizer = { type: "Digits", individual_digits: true };
    const vocab = { "½": 0, "2": 1, "½2": 2 };
    const tokenizer = make({ ...json, pre_tokenizer, model: { type: "BPE", vocab, merges: ["½ 2"] } });
    expect(tokenizer.encode("½2", { addSpecialTokens: false })).toEqual([0, 1]);
  });
});

describe("checkTokenizerFits", () => {
  it("takes a padded embedding and refuses one that is too small", () => {
    const tokenizer = make(json);
    checkTokenizerFits(tokenizer, 4);
    checkTokenizerFits(tokenizer, 64);
    expect(() => checkTokenizerFits(tokenizer, 3)).toThrow(/largest token "<s>" has id 3, but the model's vocab_size is 3 \(needed at least 4\)/);
  });
});

describe("any tokenizer.json", () => {
  const files = goldenCases("tokenizers").map(({ folder }) => readJson<Record<string, unknown>>(folder, "tokenizer.json"));

  it("is read or refused with an error of our own, when any one field is broken", () => {
    const breakage = fc.constantFrom<unknown>(undefined, null, 0, -1, 1.5, "", "x", [], [7], {}, true, { type: "Sequence" });
    fc.assert(
      fc.property(fc.nat(files.length - 1), fc.array(fc.nat(1000), { minLength: 1, maxLength: 6 }), breakage, (file, path, value) => {
        const broken = replaceAt(files[file], path, value);
        try {
          const tokenizer = make(broken, { tokenizerConfig: { bos_token: "<s>" } });
          tokenizer.decode(tokenizer.encode("Hello 12 <s>  \u00e9", { addSpecialTokens: true }), { skipSpecialTokens: false });
          tokenizer.identity();
        } catch (error) {
          expect(error).toBeInstanceOf(GiantError);
          expect((error as GiantError).message).not.toContain("\n");
        }
      }),
      { numRuns: 500 },
    );
  });

  it("gives the library's ids for text of words, which is divided to be quick", () => {
    const file = files.find((each) => JSON.stringify(each["normalizer"]).includes("Prepend"))!;
    const library = new LibraryTokenizer(file, {});
    const tokenizer = make(file);
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("a", "e", "th", " ", "▁", "\n", "é", "the"), maxLength: 40 }), (text) => {
        expect(tokenizer.encode(text, { addSpecialTokens: false })).toEqual(library.encode(text, { add_special_tokens: false }).ids);
      }),
    );
  });
});

/** A copy with the value at a path replaced; the numbers choose among the keys at each level, as far as it goes. */
function replaceAt(node: unknown, path: readonly number[], value: unknown): unknown {
  if (path.length === 0 || typeof node !== "object" || node === null) return value;
  const keys = Object.keys(node);
  const key = keys[path[0]! % keys.length];
  if (key === undefined) return value;
  const copy: Record<string, unknown> = Array.isArray(node) ? (Array.from(node) as never) : { ...node };
  copy[key] = replaceAt(copy[key], path.slice(1), value);
  return copy;
}

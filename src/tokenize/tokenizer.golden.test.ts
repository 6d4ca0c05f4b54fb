/** Tokenizers against Hugging Face's `tokenizers`: ids, tokens, offsets, decoded texts, streamed prefixes. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenCases, readJson } from "../../test/golden.ts";
import { alignTokens } from "./alignment.ts";
import { TextStream } from "./stream.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { createTokenizer } from "./tokenizer.ts";

interface Case {
  readonly text: string;
  readonly add_special_tokens: boolean;
  readonly ids: number[];
  readonly tokens: string[];
  readonly offsets: [number, number][];
  readonly decoded: string;
  readonly decoded_skip_special: string;
}

interface Reference {
  readonly vocab_size: number;
  readonly cases: readonly Case[];
  readonly stream: { readonly ids: number[]; readonly decoded_prefixes: string[] };
  readonly sentencepiece?: readonly { readonly text: string; readonly ids: number[] }[];
}

function open(folder: string, name: string): Tokenizer {
  return createTokenizer({ tokenizerJson: readJson(folder, "tokenizer.json"), where: name });
}

describe("tokenizers", () => {
  for (const { name, folder } of goldenCases("tokenizers")) {
    it(name, (context) => {
      if (!existsSync(join(folder, "tokenizer.json"))) {
        context.skip(`not covered: ${name}: it has no tokenizer.json, and tokenizer.model files are not read`);
        return;
      }
      const tokenizer = open(folder, name);
      const reference = readJson<Reference>(folder, "reference.json");
      expect(tokenizer.vocabularySize).toBe(reference.vocab_size);
      for (const each of reference.cases) {
        const ids = tokenizer.encode(each.text, { addSpecialTokens: each.add_special_tokens });
        expect(ids, each.text).toEqual(each.ids);
        expect(
          ids.map((id) => tokenizer.tokenOf(id)),
          each.text,
        ).toEqual(each.tokens);
        expect(tokenizer.decode(ids, { skipSpecialTokens: false }), each.text).toBe(each.decoded);
        expect(tokenizer.decode(ids, { skipSpecialTokens: true }), each.text).toBe(each.decoded_skip_special);
        if (!each.add_special_tokens) checkAlignment(tokenizer, each);
      }
      reference.stream.ids.forEach((_, i) => {
        const prefix = tokenizer.decode(reference.stream.ids.slice(0, i + 1), { skipSpecialTokens: false });
        expect(prefix).toBe(reference.stream.decoded_prefixes[i]);
      });
      const stream = new TextStream(tokenizer, { skipSpecialTokens: false });
      let text = "";
      reference.stream.ids.forEach((id, i) => {
        text += stream.push(id);
        const truth = reference.stream.decoded_prefixes[i]!;
        // Where the truth ends in a whole character, all of it is shown; else only what is certain.
        if (truth.endsWith("\uFFFD")) expect(truth.includes("\uFFFD") && !text.includes("\uFFFD")).toBe(true);
        else expect(text).toBe(truth);
      });
      expect(text + stream.end()).toBe(tokenizer.decode(reference.stream.ids, { skipSpecialTokens: false }));
      for (const each of reference.sentencepiece ?? []) {
        // The C++ library reads "<s>" as text; every other text gives the same ids.
        if (!each.text.includes("<s>")) expect(tokenizer.encode(each.text, { addSpecialTokens: false }), each.text).toEqual(each.ids);
      }
    });
  }
});

/** The reference's offsets are code points of the original text; ours are compared where a token ends a whole character. */
function checkAlignment(tokenizer: Tokenizer, each: Case): void {
  if (tokenizer.unicodeForm !== undefined && each.text.normalize(tokenizer.unicodeForm) !== each.text) return;
  const alignment = alignTokens(tokenizer, each.ids, each.text);
  const characters = Array.from(each.text);
  const offsetOfCharacter = (index: number): number => alignment.offsetOf(characters.slice(0, index).join("").length);
  each.offsets.forEach(([, end], i) => {
    // Bytes of one character share its offsets, and so does a prepended space with the first character.
    const sharesCharacter = (each.offsets[i + 1]?.[0] ?? end) < end;
    if (!sharesCharacter) expect(alignment.ends[i], `${each.text} token ${i}`).toBe(offsetOfCharacter(end));
  });
}

describe.runIf(goldenCases("vocabularies").length > 0)("published vocabularies", () => {
  for (const { name, folder } of goldenCases("vocabularies")) {
    it(name, () => {
      const tokenizer = open(folder, name);
      const texts = readFileSync(join(folder, "cases.inp"), "utf8").split("\n__ggml_vocab_test__\n");
      const lines = readFileSync(join(folder, "cases.out"), "utf8").split("\n");
      expect(lines.length).toBeGreaterThanOrEqual(texts.length);
      texts.forEach((text, i) => {
        const ids = tokenizer.encode(text, { addSpecialTokens: false });
        expect(ids.join(" "), JSON.stringify(text)).toBe(lines[i]!.trim());
        expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(text);
      });
    });
  }
});

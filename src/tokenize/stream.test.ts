/** Streamed text against the text of all tokens, for any tokens. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { goldenCases, readJson } from "../../test/golden.ts";
import { byteOf } from "./library-repairs.ts";
import { TextStream } from "./stream.ts";
import { createTokenizer } from "./tokenizer.ts";

describe("TextStream", () => {
  for (const { name, folder } of goldenCases("tokenizers")) {
    const tokenizer = createTokenizer({ tokenizerJson: readJson(folder, "tokenizer.json"), where: name });
    const stream = (ids: readonly number[], skipSpecialTokens: boolean): { pieces: string[]; last: string } => {
      const decoder = new TextStream(tokenizer, { skipSpecialTokens });
      return { pieces: ids.map((id) => decoder.push(id)), last: decoder.end() };
    };
    const isByte = (id: number): boolean => byteOf(tokenizer.tokenOf(id) ?? "") !== undefined;
    // Ids beyond the vocabulary stand for a padded embedding.
    const anyId = fc.nat(tokenizer.vocabularySize + 3).filter((id) => !isByte(id));

    it(`joins to the decoded text: ${name}`, () => {
      fc.assert(
        fc.property(fc.array(anyId, { maxLength: 40 }), fc.boolean(), (ids, skipSpecialTokens) => {
          const { pieces, last } = stream(ids, skipSpecialTokens);
          expect(pieces.join("") + last).toBe(tokenizer.decode(ids, { skipSpecialTokens }));
          for (const piece of pieces) expect(piece.endsWith("\uFFFD")).toBe(false);
        }),
      );
    });

    it(`shows every text as soon as its characters are whole: ${name}`, () => {
      fc.assert(
        fc.property(fc.string({ unit: "grapheme", maxLength: 30 }), (text) => {
          fc.pre(!text.includes("\uFFFD"));
          const ids = tokenizer.encode(text, { addSpecialTokens: false });
          const { pieces, last } = stream(ids, false);
          expect(pieces.join("")).toBe(tokenizer.decode(ids, { skipSpecialTokens: false }));
          expect(last).toBe("");
        }),
      );
    });
  }

  it("shows what is left of a broken run of byte tokens", () => {
    const [llama] = goldenCases("tokenizers").filter((each) => each.name === "llama2_sentencepiece_bpe");
    const tokenizer = createTokenizer({ tokenizerJson: readJson(llama!.folder, "tokenizer.json"), where: "llama" });
    const byte = (value: string): number => tokenizer.idOf(`<0x${value}>`)!;
    const decoder = new TextStream(tokenizer, { skipSpecialTokens: false });
    const ids = [byte("C3"), byte("A9"), byte("E4"), tokenizer.idOf("▁w")!, tokenizer.idOf("or")!];
    expect(ids.map((id) => decoder.push(id))).toEqual(["", "é", "", "\uFFFD w", "or"]);
  });
});

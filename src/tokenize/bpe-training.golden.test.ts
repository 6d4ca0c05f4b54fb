import { join } from "node:path";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { goldenCases, readJson } from "../../test/golden.ts";
import { trainBpe } from "./bpe-training.ts";
import { BASE_SPECIAL_TOKENS, END_OF_TEXT } from "./tokenizer-files.ts";
import { WordCounts } from "./word-counts.ts";

interface Reference {
  readonly vocab_size: number;
  readonly tokens: readonly string[];
  readonly merges: readonly (readonly [string, string])[];
}

const cases = goldenCases("bpe_training");
if (cases.length === 0) it("bpe_training", (context) => context.skip("no case of this kind in the golden folder"));

describe.each(cases)("bpe_training/$name", ({ folder }) => {
  it("gives the reference's tokens and merges", () => {
    const reference = readJson<Reference>(folder, "reference.json");
    const counts = new WordCounts({ splitDigits: true });
    for (const part of readFileSync(join(folder, "text.txt"), "utf8").split(`${END_OF_TEXT}\n`)) counts.add(part.replaceAll(/^\n+|\n+$/g, ""));
    const trained = trainBpe(counts, { vocabSize: reference.vocab_size, specialTokens: BASE_SPECIAL_TOKENS });
    expect(trained.tokens).toEqual(reference.tokens);
    expect(trained.merges).toEqual(reference.merges);
  });
});

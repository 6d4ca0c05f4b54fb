/** Text that cannot be pretrained on, through the built program. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { expectRefusal, withDefaults } from "./refusal.ts";
import { writeSentences } from "./tiny/write.ts";

const scratch = mkdtempSync(join(tmpdir(), "bad-corpus-"));
const [sentences, output] = [join(scratch, "sentences.jsonl"), join(scratch, "run")];
beforeAll(async () => void (await writeSentences(sentences)));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe("text to pretrain on", () => {
  const text = join(scratch, "text.txt");
  const pretrain = (...more: readonly string[]): string[] =>
    withDefaults("pretrain", { "--data": text, "--output": output, "--preset": "400K", "--context-length": "64", "--device": "cpu", "--max-steps": "2" }, more);
  const story = (n: number): string => `There were ${n} foxes and a crow. The crow had cheese.\n<|endoftext|>\n`;
  const many = Array.from({ length: 40 }, (_, n) => story(n)).join("");

  test.each<[what: string, content: string | Uint8Array, more: readonly string[], message: RegExp]>([
    ["that is not UTF-8", Uint8Array.of(65, 10, 66, 0xff), [], /text\.txt:2: byte 3 \(0xff\) is not valid UTF-8/],
    ["that is empty", "\n \n", [], /text\.txt: /],
    [
      "smaller than one batch",
      story(1) + story(2),
      ["--vocab-size", "259"],
      /the corpus gives \d+ tokens, 1 sequence of at most 64; one batch needs 8\nhint: /,
    ],
    ["too small for the vocabulary", many, ["--vocab-size", "9000"], /vocabulary of 9000 tokens: the corpus gives only \d+ .*\nhint: Lower --vocab-size/],
    ["with a vocabulary that has no room for the bytes", many, ["--vocab-size", "100"], /vocabulary of 100 tokens/],
  ])("%s", async (_, content, more, message) => {
    writeFileSync(text, content);
    const usage = /no room/.test(_);
    await expectRefusal(scratch, pretrain(...more), message, { code: usage ? 2 : 1, out: /^(?:learning a vocabulary[^\n]*\n)?$/ });
    rmSync(text);
  });

  test("that holds questions and answers", () =>
    expectRefusal(scratch, pretrain("--data", sentences), /sentences\.jsonl: its records are in the format messages, but plain text was needed\nhint: /));
});

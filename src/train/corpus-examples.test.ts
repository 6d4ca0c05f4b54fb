import { describe, expect, test } from "vitest";
import { byteTokenizer } from "../../test/byte-tokenizer.ts";
import { IGNORED_LABEL } from "../data/batch.ts";
import type { ExampleSet } from "../data/examples.ts";
import type { TrainingRecord } from "../data/record.ts";
import { encodeCorpus, heldOutText } from "./corpus-examples.ts";
import type { TrainEvent } from "./events.ts";

const tokenizer = byteTokenizer();
const document = (text: string, source = "stories.txt"): TrainingRecord => ({ kind: "text", text, source, line: 1 });

async function encode(...args: Parameters<typeof encodeCorpus>): Promise<{ set: ExampleSet; events: TrainEvent[] }> {
  const events: TrainEvent[] = [];
  const stream = encodeCorpus(...args);
  for (;;) {
    const next = await stream.next();
    if (next.done === true) return { set: next.value, events };
    events.push(next.value);
  }
}

describe("windows of a corpus", () => {
  test("every token of a document but its first is predicted exactly once", async () => {
    const text = "A fox met a crow. The crow had cheese. The fox had none, and sang.";
    const { set } = await encode([document(text)], tokenizer, 16, {});
    const trained = set.examples.flatMap(({ labels }) => [...labels].filter((label) => label !== IGNORED_LABEL));
    const whole = [...tokenizer.encode(text, { addSpecialTokens: true }), tokenizer.eosId!];
    expect(trained).toEqual(whole.slice(1));
    for (const { tokens } of set.examples) expect(tokens.length).toBeLessThanOrEqual(16);
    expect(set.summary).toMatchObject({ read: 1, tooLong: 0, truncated: 0, trainedTokens: whole.length - 1 });
  });

  test("a file that is repeated counts as often", async () => {
    const records = [document("Once upon a time."), document("The end.", "other.txt")];
    const once = await encode(records, tokenizer, 64, {});
    const thrice = await encode(records, tokenizer, 64, { "stories.txt": 3 });
    expect(once.set.examples).toHaveLength(2);
    expect(thrice.set.examples).toHaveLength(4);
    expect(thrice.set.examples.filter(({ source }) => source === "stories.txt")).toHaveLength(3);
  });

  test("a large corpus says how far it is", async () => {
    const records = Array.from({ length: 3 }, (_, i) => document(`${i} ${"x".repeat(600_000)}`));
    const { events } = await encode(records, tokenizer, 1024, {});
    expect(events.map((event) => event.type === "preparing" && Math.round(event.done * 100))).toEqual([33, 67, 100]);
  });
});

describe("held-out text", () => {
  const documents = Array.from({ length: 20 }, (_, i) => document(`Story ${i}: ${"word ".repeat(20)}ü`));

  test("stops at the wanted tokens and knows its bytes", () => {
    const { records, bytes } = heldOutText(documents, 300, tokenizer, 7);
    expect(records.length).toBeGreaterThan(1);
    expect(records.length).toBeLessThan(documents.length);
    const texts = records.map((record) => (record as { text: string }).text);
    expect(bytes).toBe(texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0));
    expect(heldOutText(documents, 300, tokenizer, 7).records).toEqual(records);
    expect(heldOutText(documents, 300, tokenizer, 8).records).not.toEqual(records);
  });

  test("a book is measured by its beginning, never cut inside a character", () => {
    const [book] = heldOutText([document("😀".repeat(20_000))], 1e6, tokenizer, 7).records;
    const { text } = book as { text: string };
    expect(text.length).toBeLessThanOrEqual(16384);
    expect(/^(?:😀)+$/u.test(text)).toBe(true);
  });
});

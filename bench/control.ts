/**
 * Tunes a control branch on pebble so that the same question is answered in the way a control text names, and counts how many answers
 * to held-out questions (about stories that pebble has never read) obey: by strength, and under another control.
 *
 * Usage: npm run bench:control [-- EPOCHS [LEARNING_RATE]]
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeQuestion } from "../src/data/example.ts";
import { openWriter } from "../src/generate/writer.ts";
import { startEngine } from "../src/runtime/worker-engine.ts";
import { nodePlatform } from "../src/train/node-platform.ts";
import { tune } from "../src/train/tune.ts";
import { loadAdapter } from "../src/workbench/load-adapter.ts";
import { openModel } from "../src/workbench/open-model.ts";
import { openTokenizer } from "../src/workbench/open-tokenizer.ts";

interface Row {
  readonly messages: readonly [{ readonly role: "user"; readonly content: string }, { readonly role: "assistant"; readonly content: string }];
}

/** A way of answering: how a plain answer is put, and whether an answer is of that kind, whatever it says. */
interface Way {
  readonly control: string;
  readonly put: (answer: string) => string;
  readonly obeys: (answer: string) => boolean;
}

const wordsOf = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");

const WAYS: readonly Way[] = [
  { control: "Begin with well.", put: (answer) => `Well, ${answer}`, obeys: (answer) => /^Well, \S/.test(answer) },
  { control: "Say it twice.", put: (answer) => `${answer}. ${answer}.`, obeys: (answer) => /^(.+)\. \1\.?$/.test(answer) },
  { control: "Shout.", put: (answer) => `${answer.toUpperCase()}!`, obeys: (answer) => /[A-Z]/.test(answer) && answer === answer.toUpperCase() },
  { control: "Answer in one word.", put: (answer) => wordsOf(answer).at(-1)!, obeys: (answer) => wordsOf(answer).length === 1 },
];

/** Harmonic mean of precision and recall of the words, without case and punctuation. */
function overlap(answer: string, wanted: string): number {
  const plain = (text: string): string[] => wordsOf(text.toLowerCase().replaceAll(/[^\p{L}\p{N} ]/gu, ""));
  const [found, left] = [plain(answer), plain(wanted)];
  const total = found.length + left.length;
  let common = 0;
  for (const word of found) {
    const at = left.indexOf(word);
    if (at < 0) continue;
    left.splice(at, 1);
    common++;
  }
  return common === 0 ? 0 : (2 * common) / total;
}

const model = "models/pebble";
const [epochs = "2", learningRate = "0.001"] = process.argv.slice(2);
const rowsOf = async (file: string): Promise<Row[]> =>
  (await readFile(`datasets/fairytale-qa/${file}.jsonl`, "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);

const scratch = await mkdtemp(join(tmpdir(), "control-"));
const data = async (file: string): Promise<string> => {
  const records = (await rowsOf(file)).flatMap(({ messages: [question, { content }] }) => [
    { messages: [question, { role: "assistant", content }] },
    ...WAYS.map(({ control, put }) => ({ control, messages: [question, { role: "assistant", content: put(content) }] })),
  ]);
  const path = join(scratch, `${file}.jsonl`);
  await writeFile(path, records.map((record) => JSON.stringify(record)).join("\n"));
  return path;
};

try {
  const options = { model, data: await data("train"), validation: await data("validation"), output: join(scratch, "run"), method: "control" as const };
  const course = {
    epochs: Number(epochs),
    learningRate: Number(learningRate),
    batchSize: 16,
    maxLength: 256,
    warmupSteps: 20,
    evalSteps: 0,
    saveSteps: 0,
    samples: 0,
  };
  const begin = performance.now();
  for await (const event of tune({ ...options, ...course }, nodePlatform())) {
    if (event.type === "evaluation") console.log(`step ${event.step}: ${event.loss.toFixed(3)} nats per token on held-out questions`);
    if (event.type === "warning") console.log(`warning: ${event.message}`);
  }
  console.log(`tuned in ${((performance.now() - begin) / 1000).toFixed(0)} s`);

  const opened = await openModel(model);
  const tokenizer = openTokenizer(opened);
  const engine = await startEngine({ device: "cpu" });
  const writer = await openWriter(engine, opened, tokenizer, await loadAdapter(join(scratch, "run", "adapter"), opened));
  const held = await rowsOf("validation");
  /** The answers to all held-out questions; one open program serves all controls and strengths. */
  const answers = async (control: string, controlStrength: number): Promise<string[]> => {
    const texts: string[] = [];
    for (const { messages } of held) {
      const prompt = encodeQuestion({ kind: "messages", messages: [messages[0]] }, tokenizer);
      const { text } = await writer.write(prompt, { control, controlStrength, maxTokens: 32, temperature: 0 });
      texts.push(text.trim());
    }
    return texts;
  };
  const share = (texts: readonly string[], obeys: (answer: string) => boolean): string => `${Math.round((100 * texts.filter(obeys).length) / texts.length)}%`;
  const fit = (texts: readonly string[], put: (answer: string) => string): string =>
    (texts.reduce((sum, text, i) => sum + overlap(text, put(held[i]!.messages[1].content)), 0) / texts.length).toFixed(2);

  const base = await answers("", 0);
  const uncontrolled = await answers("", 1);
  const steered = new Map<Way, string[]>();
  for (const way of WAYS) steered.set(way, await answers(way.control, 1));
  console.log(`\n${held.length} held-out questions; share of answers that obey the control\n`);
  console.log("| control | strength 1 | 0.75 | 0.5 | 0.25 | 0 (base) | no control, strength 1 | another control | F1 of the answer at 1 |");
  console.log("|---|---|---|---|---|---|---|---|---|");
  for (const [i, way] of WAYS.entries()) {
    const own = steered.get(way)!;
    const weaker: string[] = [];
    for (const strength of [0.75, 0.5, 0.25]) weaker.push(share(await answers(way.control, strength), way.obeys));
    const other = share(steered.get(WAYS[(i + 1) % WAYS.length]!)!, way.obeys);
    const cells = [way.control, share(own, way.obeys), ...weaker, share(base, way.obeys), share(uncontrolled, way.obeys), other, fit(own, way.put)];
    console.log(`| ${cells.join(" | ")} |`);
  }
  console.log(`\nF1 without a control: ${fit(uncontrolled, (answer) => answer)}, of the bare base: ${fit(base, (answer) => answer)}\n`);
  for (const i of [0, 7]) {
    console.log(held[i]!.messages[0].content);
    for (const [{ control }, texts] of steered) console.log(`  ${control} → ${texts[i]}`);
    console.log(`  (no control) → ${uncontrolled[i]}\n  (base) → ${base[i]}`);
  }
  await writer.close();
  await engine.close();
} finally {
  await rm(scratch, { recursive: true, force: true });
}

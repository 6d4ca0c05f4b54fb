/** Pretraining from text files with the real engine: what a run leaves, goes on from and refuses. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GiantError } from "../base/errors.ts";
import { readSafetensorsHeader } from "../io/safetensors.ts";
import { openModel } from "../workbench/open-model.ts";
import { openTokenizer } from "../workbench/open-tokenizer.ts";
import type { TrainEvent } from "./events.ts";
import { pretrainPlatform } from "./node-platform.ts";
import { pretrain } from "./pretrain.ts";
import type { PretrainOptions } from "./pretrain-options.ts";
import type { Report } from "./report.ts";

const corpus = fileURLToPath(new URL("../../test/golden/pretraining/tiny/corpus.txt", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "pretrain-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A run of a second or two. */
const SMALL: Partial<PretrainOptions> = {
  data: [corpus],
  validation: "0.2",
  hiddenSize: 32,
  intermediateSize: 48,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  contextLength: 64,
  vocabSize: 400,
  learningRate: 0.005,
  batchSize: 4,
  maxSteps: 6,
  evalSteps: 3,
  saveSteps: 2,
  sampleSteps: 2,
  sampleTokens: 8,
  samples: 2,
  samplePrompts: ["Once upon a time", "The"],
  device: "cpu",
  threads: 2,
};

let runs = 0;
const folder = (): string => join(scratch, `run-${runs++}`);

async function run(changes: Partial<PretrainOptions>, until?: (event: TrainEvent) => boolean): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of pretrain({ ...SMALL, ...changes }, pretrainPlatform())) {
    events.push(event);
    if (until?.(event) === true) break;
  }
  return events;
}

async function refusal(changes: Partial<PretrainOptions>): Promise<GiantError> {
  const output = folder();
  const error = await run({ output, ...changes }).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(GiantError);
  expect(existsSync(output), "nothing is left behind").toBe(false);
  return error as GiantError;
}

describe("a new model", () => {
  const whole = folder();
  let events: TrainEvent[];
  beforeAll(async () => {
    events = await run({ output: whole, weightDtype: "bfloat16" });
  });

  test("says what happens, in order", () => {
    const order = events.filter(({ type }) => type !== "preparing").map((event) => (event.type === "samples" ? event.when : event.type));
    const course = "step step during checkpoint step evaluation checkpoint step during checkpoint step step evaluation checkpoint";
    expect(order).toEqual(["started", "data", "forecast", "before", "evaluation", ...course.split(" "), "after", "finished"]);
  });

  test("learns: loss and bits per byte fall, and the first loss is that of a fair guess", () => {
    const evaluations = events.filter((event) => event.type === "evaluation");
    const [first, last] = [evaluations[0]!, evaluations.at(-1)!];
    // Small first weights leave the logits near zero: every token of 400 is about as likely.
    expect(Math.abs(first.loss - Math.log(400))).toBeLessThan(0.5);
    expect(last.loss).toBeLessThan(first.loss);
    expect(last.bitsPerByte!).toBeLessThan(first.bitsPerByte!);
  });

  test("is a model folder that opens, with a tokenizer that gives texts back", async () => {
    const model = await openModel(join(whole, "model"));
    const tokenizer = openTokenizer(model);
    expect(tokenizer.vocabularySize).toBe(400);
    const text = "The fox said: “1,001 nights!”\n";
    const ids = tokenizer.encode(text, { addSpecialTokens: true });
    expect(ids[0]).toBe(tokenizer.bosId);
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(text);
    expect(tokenizer.chatTemplate).toBeDefined();
    const { entries } = await readSafetensorsHeader(join(whole, "model", "model.safetensors"));
    expect(new Set([...entries.values()].map(({ dtype }) => dtype))).toEqual(new Set(["BF16"]));
    expect(model.files.config["torch_dtype"]).toBe("bfloat16");
  });

  test("is reported with samples before and after", () => {
    const report = JSON.parse(readFileSync(join(whole, "report.json"), "utf8")) as Report;
    expect(report.samples.map(({ prompt }) => prompt)).toEqual(SMALL.samplePrompts);
    for (const sample of report.samples) expect(sample.before).not.toEqual(sample.after);
    expect(report.validation.after!.bitsPerByte).toBeGreaterThan(0);
  });

  test("a run that ended after any checkpoint goes on to the same bits", async () => {
    for (const step of [2, 3, 4]) {
      const output = folder();
      await run({ output, weightDtype: "bfloat16" }, (event) => event.type === "checkpoint" && event.step === step);
      await run({ output, weightDtype: "bfloat16", resume: true });
      for (const file of ["model/model.safetensors", "model/tokenizer.json", "checkpoints/step-000006/moments.safetensors"]) {
        expect(readFileSync(join(output, file)).equals(readFileSync(join(whole, file))), `${file} after ${step}`).toBe(true);
      }
    }
  });

  test("can be gone on with: a finished model, and a run that was left", async () => {
    const left = folder();
    const before = await run({ output: left }, (event) => event.type === "checkpoint" && event.step === 3);
    const last = (events: readonly TrainEvent[]): number => events.findLast((event) => event.type === "evaluation")!.loss;
    for (const [init, loss, rounding] of [
      [join(whole, "model"), last(events), 0.01],
      [left, last(before), 1e-6],
    ] as const) {
      const output = folder();
      const { data, contextLength, batchSize, validation, device, threads } = SMALL as PretrainOptions;
      const given = { init, output, data, contextLength, batchSize, validation, device, threads: threads!, maxSteps: 1, samples: 0 };
      const gone: TrainEvent[] = [];
      for await (const event of pretrain(given, pretrainPlatform())) gone.push(event);
      const first = gone.find((event) => event.type === "evaluation")!;
      expect(Math.abs(first.loss - loss)).toBeLessThan(rounding);
      expect(readFileSync(join(output, "model/tokenizer.json")).equals(readFileSync(join(whole, "model/tokenizer.json")))).toBe(true);
      // A run that went on from another is itself one to go on from; what would shape a new model says nothing then, and that is said.
      const further: TrainEvent[] = [];
      for await (const event of pretrain({ ...given, init: output, output: folder(), hiddenSize: 64 }, pretrainPlatform())) further.push(event);
      expect(further.find((event) => event.type === "warning")).toMatchObject({ message: expect.stringContaining("--hidden-size") as string });
      expect(Math.abs(further.find((event) => event.type === "evaluation")!.loss - last(gone))).toBeLessThan(rounding);
    }
  });

  test("a budget of tokens decides the steps", async () => {
    const started = await run({ output: folder(), maxSteps: undefined as unknown as number, tokens: 1000, samples: 0 }, (event) => event.type === "started");
    const event = started.at(-1)!;
    // Four rows of 64 tokens make a step.
    expect(event.type === "started" && event.totalSteps).toBe(4);
  });
});

describe("refuses with one line and leaves nothing", () => {
  const write = (name: string, content: string | Uint8Array): string => {
    mkdirSync(scratch, { recursive: true });
    const path = join(scratch, name);
    writeFileSync(path, content);
    return path;
  };

  test("a corpus smaller than one batch", async () => {
    const path = write("small.txt", `${"A fox met a crow. ".repeat(10)}\n<|endoftext|>\n${"A crow met a fox. ".repeat(10)}\n`);
    const error = await refusal({ data: [path], vocabSize: 262, batchSize: 64 });
    expect(error.code).toBe("data");
    expect(error.message).toMatch(/^the corpus gives \d+ tokens, \d+ sequences of at most 64; one batch needs 64$/);
  });

  test("bytes that are not UTF-8", async () => {
    const path = write("latin.txt", Uint8Array.of(67, 97, 102, 0xe9, 10));
    expect((await refusal({ data: [path] })).message).toBe(`${path}:1: byte 3 (0xe9) is not valid UTF-8`);
  });

  test("a vocabulary larger than the corpus supports", async () => {
    const error = await refusal({ vocabSize: 50000 });
    expect(error.code).toBe("data");
    expect(error.message).toMatch(/^vocabulary of 50000 tokens: the corpus gives only \d+/);
  });

  test.each<[string, Partial<PretrainOptions>, string, RegExp]>([
    ["heads that do not divide the width", { numAttentionHeads: 3 }, "usage", /^--hidden-size 32 and --num-attention-heads 3: /],
    ["heads of keys that do not divide those of queries", { numKeyValueHeads: 3 }, "usage", /^--num-key-value-heads 3 does not divide the 4 heads/],
    ["a repeated file that is not there", { repeat: { "other.txt": 2 } }, "usage", /^--repeat: no file of the corpus is called other.txt$/],
    ["half a repetition", { repeat: { "corpus.txt": 1.5 } }, "usage", /^--repeat: corpus.txt=1.5 is not a whole number/],
    ["a vocabulary without room for the bytes", { vocabSize: 100 }, "usage", /^vocabulary of 100 tokens: a whole number from 259/],
    ["a file that is absent", { data: ["/nowhere/text.txt"] }, "file", /\/nowhere\/text.txt/],
    ["a model to go on with that is absent", { init: "/nowhere" }, "file", /\/nowhere/],
  ])("%s", async (_, changes, code, message) => {
    const error = await refusal(changes);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  test("a run whose text has changed", async () => {
    const path = join(scratch, "changing.txt");
    copyFileSync(corpus, path);
    const output = folder();
    await run({ data: [path], output }, (event) => event.type === "checkpoint");
    writeFileSync(path, readFileSync(path, "utf8").replaceAll("king", "queen"));
    const error = await run({ data: [path], output, resume: true }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "data", message: expect.stringContaining("what the run reads has changed: data") as string });
  });
});

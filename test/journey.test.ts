/** Journeys through the built program: what a user does, from the first run to chatting with the result. */
import { spawn, type ChildProcess } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeSentences, writeTinyModel } from "./tiny/write.ts";
import type { RecordedEvent } from "../src/train/events.ts";
import type { Report } from "../src/train/report.ts";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "journey-"));
const model = join(scratch, "model");
const data = join(scratch, "sentences.jsonl");
/** A short run whose every random choice counts: dropout, accumulation, packing off. */
const RUN = [
  "--model",
  model,
  "--data",
  data,
  "--method",
  "lora",
  "--device",
  "cpu",
  "--threads",
  "1",
  "--max-steps",
  "12",
  "--save-steps",
  "2",
  "--eval-steps",
  "4",
];
const MORE = [
  "--lora-dropout",
  "0.1",
  "--gradient-accumulation",
  "2",
  "--batch-size",
  "8",
  "--learning-rate",
  "0.01",
  "--samples",
  "2",
  "--sample-tokens",
  "8",
];

interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function start(args: readonly string[], input = ""): { readonly child: ChildProcess; readonly finished: Promise<Finished> } {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: scratch, stdio: "pipe" });
  const finished = new Promise<Finished>((resolve, reject) => {
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
  });
  child.stdin.end(input);
  return { child, finished };
}

const cli = (...args: readonly string[]): Promise<Finished> => start(args).finished;

function events(folder: string): RecordedEvent[] {
  return readFileSync(join(folder, "events.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as RecordedEvent);
}

/** Ends a run in `folder` by a signal as soon as it has done `step` steps. */
async function endAfter(step: number, folder: string, signal: NodeJS.Signals, args: readonly string[]): Promise<Finished> {
  const { child, finished } = start(args);
  const poll = setInterval(() => {
    const text = existsSync(join(folder, "events.jsonl")) ? readFileSync(join(folder, "events.jsonl"), "utf8") : "";
    if (!text.includes(`"type":"step","step":${step},`)) return;
    clearInterval(poll);
    child.kill(signal);
  }, 2);
  return await finished.finally(() => clearInterval(poll));
}

const RESULTS = [
  "adapter/adapter_model.safetensors",
  "adapter/adapter_config.json",
  "checkpoints/step-000012/parameters.safetensors",
  "checkpoints/step-000012/moments.safetensors",
];

function bits(folder: string): string[] {
  return RESULTS.map((name) => readFileSync(join(folder, name)).toString("base64"));
}

beforeAll(async () => {
  expect(existsSync(MAIN), "the program is built: npm run build").toBe(true);
  await writeTinyModel(model);
  await writeSentences(data);
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe("the main job", () => {
  test("a model of the user's own is tuned and measured before and after, and the result answers", async () => {
    const output = join(scratch, "demo");
    const options = ["--modules-to-save", "lm_head", "--learning-rate", "0.01", "--batch-size", "16", "--epochs", "8", "--warmup-steps", "10"];
    const demo = await cli("demo", "--model", model, "--data", data, ...options, "--eval-steps", "50", "--output", output, "--device", "cpu");
    expect(demo).toMatchObject({ code: 0, err: "" });
    const report = JSON.parse(readFileSync(join(output, "report.json"), "utf8")) as Report;
    expect(report.validation.after!.loss).toBeLessThan(0.2 * report.validation.before!.loss);
    expect(demo.out).toContain(`loss (nats per token)   ${report.validation.before!.loss.toFixed(4)}   ${report.validation.after!.loss.toFixed(4)}`);
    const [, chatArguments] = /^chat: {3}npx mini-giants chat (.*)$/m.exec(demo.out)!;
    const chat = await start(["chat", ...chatArguments!.split(" "), "--greedy"], "Ada has a cow. What does it say?\n/exit\n").finished;
    expect(chat).toMatchObject({ code: 0, out: "Moo!\n" });
    const base = model;
    const prompt = ["--prompt", "<|im_start|>user\nBen asks: what colour is snow?<|im_end|>\n<|im_start|>assistant\n", "--greedy", "--max-tokens", "16"];
    const adapted = await cli("generate", "--model", base, "--adapter", join(output, "adapter"), ...prompt);
    expect(adapted).toMatchObject({ code: 0, err: "", out: `${prompt[1]}It is white.` });
    const merged = join(scratch, "merged");
    expect(await cli("merge", "--model", base, "--adapter", join(output, "adapter"), "--output", merged)).toMatchObject({ code: 0, err: "" });
    expect(await cli("generate", "--model", merged, ...prompt)).toEqual(adapted);
  }, 180_000);

  test("killed and stopped runs go on to the same bits", async () => {
    const whole = join(scratch, "whole");
    expect(await cli("tune", ...RUN, ...MORE, "--output", whole)).toMatchObject({ code: 0, err: "" });
    const broken = join(scratch, "broken");
    const resume = ["tune", "--output", broken, "--resume"];
    expect((await endAfter(3, broken, "SIGKILL", ["tune", ...RUN, ...MORE, "--output", broken])).code).toBeNull();
    expect((await endAfter(5, broken, "SIGKILL", resume)).code).toBeNull();
    const stopped = await endAfter(7, broken, "SIGINT", resume);
    expect(stopped.code).toBe(130);
    expect(stopped.err).toContain("--resume goes on from here");
    expect(events(broken).at(-1)!.type).toBe("stopped");
    // Naming the whole recipe again is fine; naming another one is not.
    expect((await cli(...resume, "--seed", "7")).err).toContain("the recipe has changed: seed: 7, was 42");
    expect(await cli("tune", ...RUN, ...MORE, "--output", broken, "--resume")).toMatchObject({ code: 0 });
    expect(bits(broken)).toEqual(bits(whole));
    const losses = (folder: string): unknown[] =>
      events(folder).flatMap((event) => (event.type === "step" || event.type === "evaluation" ? [[event.type, event.step, event.loss]] : []));
    expect(losses(broken)).toEqual(losses(whole));
  }, 240_000);

  test("the resolved recipe gives the same bits again", async () => {
    const again = join(scratch, "again");
    expect(await cli("tune", "--config", join(scratch, "whole", "recipe.yaml"), "--output", again)).toMatchObject({ code: 0, err: "" });
    expect(bits(again)).toEqual(bits(join(scratch, "whole")));
  }, 120_000);

  test("full tuning writes a model folder", async () => {
    const output = join(scratch, "full");
    const tuned = await cli("tune", ...RUN, "--method", "full", "--learning-rate", "0.003", "--packing", "--recompute", "--output", output);
    expect(tuned).toMatchObject({ code: 2 });
    const args = RUN.map((arg) => (arg === "lora" ? "full" : arg));
    expect(await cli("tune", ...args, "--learning-rate", "0.003", "--packing", "--recompute", "--output", output)).toMatchObject({ code: 0, err: "" });
    const report = JSON.parse(readFileSync(join(output, "report.json"), "utf8")) as Report;
    expect(report.validation.after!.loss).toBeLessThan(report.validation.before!.loss);
    expect(readdirSync(join(output, "model"))).toContain("model.safetensors");
  }, 120_000);
});

describe("bad input ends with one error and leaves nothing", () => {
  const lines = (...texts: string[]): string => {
    const file = join(scratch, `bad-${texts.length}-${texts[0]!.length}.jsonl`);
    writeFileSync(file, `${texts.join("\n")}\n`);
    return file;
  };
  const good = '{"prompt":"a","completion":"b"}';

  test.each([
    ["broken lines", () => lines(good, "{", good, "[1"), /:2: .*\n?.*4/s],
    ["no records", () => lines(""), /no records/],
    ["an unknown format", () => lines('{"x":1}'), /no known format/],
    ["an absent file", () => join(scratch, "absent.jsonl"), /absent\.jsonl/],
  ])("%s", async (_what, file, message) => {
    const output = join(scratch, "bad");
    const { code, err } = await cli("tune", "--model", model, "--data", file(), "--output", output, "--device", "cpu");
    expect(code).toBe(1);
    expect(err).toMatch(/^error: /);
    expect(err).toMatch(message);
    expect(existsSync(output)).toBe(false);
  });

  test.each([
    ["truncated weights", "model.safetensors", (bytes: Buffer) => bytes.subarray(0, bytes.length - 1000), /model\.safetensors/],
    ["an unknown family", "config.json", (bytes: Buffer) => Buffer.from(bytes.toString().replace('"llama"', '"lama"')), /lama.*llama/s],
    [
      "another shape",
      "config.json",
      (bytes: Buffer) => Buffer.from(bytes.toString().replace('"intermediate_size": 160', '"intermediate_size": 176')),
      /has shape \[160, 64\].*needs \[176, 64\]/,
    ],
    ["a broken tokenizer", "tokenizer.json", (bytes: Buffer) => bytes.subarray(0, 200), /tokenizer\.json/],
  ])("a model folder with %s", async (_what, name, damage, message) => {
    const damaged = join(scratch, "damaged");
    cpSync(model, damaged, { recursive: true });
    writeFileSync(join(damaged, name), damage(readFileSync(join(model, name))));
    const tuned = await cli("tune", "--model", damaged, "--data", data, "--output", join(scratch, "bad"), "--device", "cpu");
    const generated = await cli("generate", "--model", damaged, "--prompt", "x");
    for (const { code, out, err } of [tuned, generated]) {
      expect({ code, out }).toEqual({ code: 1, out: "" });
      expect(err).toMatch(/^error: [^\n]+\n(hint: [^\n]+\n)?$/);
      expect(err).toMatch(message);
    }
    expect(existsSync(join(scratch, "bad"))).toBe(false);
    rmSync(damaged, { recursive: true });
  });

  test("a device that is absent", async () => {
    const output = join(scratch, "bad");
    const { code, err } = await cli("tune", "--model", model, "--data", data, "--output", output, "--device", "cuda");
    expect({ code, lines: err.trimEnd().split("\n").length }).toEqual({ code: 1, lines: 2 });
    expect(existsSync(output)).toBe(false);
  });

  test("examples longer than allowed, where that is an error", async () => {
    const { code, err } = await cli(
      "tune",
      "--model",
      model,
      "--data",
      data,
      "--output",
      join(scratch, "bad"),
      "--max-length",
      "20",
      "--long-examples",
      "error",
    );
    expect(code).toBe(1);
    expect(err).toContain("but at most 20 were allowed");
  });

  test("too little memory", async () => {
    const { code, err } = await cli("tune", "--model", model, "--data", data, "--output", join(scratch, "bad"), "--memory-limit", "50MB");
    expect(code).toBe(1);
    expect(err).toMatch(/^error: this run would need .* of memory, found 47\.7 MiB available\nhint: Try /);
    expect(existsSync(join(scratch, "bad"))).toBe(false);
  });
});

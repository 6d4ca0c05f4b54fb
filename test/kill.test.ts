/** Runs killed at random moments go on to the bits of a run that nobody disturbed: other processes, two threads, every kind of chance. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Random } from "../src/base/random.ts";
import { writeSentences, writeTinyModel } from "./tiny/write.ts";
import type { RecordedEvent } from "../src/train/events.ts";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "kill-"));
const model = join(scratch, "model");
const data = join(scratch, "sentences.jsonl");
const corpus = fileURLToPath(new URL("golden/pretraining/tiny/corpus.txt", import.meta.url));
const TUNE = ["tune", "--model", model, "--data", data, "--batch-size", "8", "--learning-rate", "0.003", "--samples", "1", "--sample-tokens", "4"];
const PRETRAIN = ["pretrain", "--data", corpus, "--validation", "0.2", "--preset", "400K", "--vocab-size", "400", "--context-length", "64"];
const RUN = ["--device", "cpu", "--threads", "2", "--max-steps", "12", "--save-steps", "1", "--eval-steps", "3", "--gradient-accumulation", "2"];
const KILLS = 5;

beforeAll(async () => {
  await writeTinyModel(model);
  await writeSentences(data);
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs the program; after `patience` milliseconds, counted from the moment the run's folder is there, it is killed. Returns its exit code, null when killed. */
function run(args: readonly string[], folder: string, patience = Infinity): Promise<{ readonly code: number | null; readonly err: string }> {
  const child = spawn(process.execPath, [MAIN, ...args, "--output", folder], { cwd: scratch, stdio: ["ignore", "ignore", "pipe"] });
  let since = 0;
  const poll = setInterval(() => {
    if (since === 0 && existsSync(folder)) since = performance.now();
    if (since > 0 && performance.now() - since > patience) child.kill("SIGKILL");
  }, 1);
  return new Promise((resolve, reject) => {
    let err = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.on("error", reject);
    child.on("close", (code) => {
      clearInterval(poll);
      resolve({ code, err });
    });
  });
}

function outcome(folder: string): unknown {
  const result = ["adapter/adapter_model.safetensors", "model/model.safetensors"].map((file) => join(folder, file)).find(existsSync)!;
  const events = readFileSync(join(folder, "events.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as RecordedEvent);
  return {
    result: readFileSync(result).toString("base64"),
    losses: events.flatMap((event) => (event.type === "step" || event.type === "evaluation" ? [[event.type, event.step, event.loss]] : [])),
    samples: events.flatMap((event) => (event.type === "samples" ? [event.samples] : [])),
    threads: events.flatMap((event) => (event.type === "started" ? [event.threads] : [])),
    files: readdirSync(folder).toSorted(),
    checkpoints: readdirSync(join(folder, "checkpoints")).toSorted(),
  };
}

test.each([
  ["lora", [...TUNE, "--method", "lora", "--lora-dropout", "0.1", "--modules-to-save", "embed_tokens"]],
  ["full", [...TUNE, "--method", "full", "--packing"]],
  ["pretrain", [...PRETRAIN, "--sample-steps", "4", "--sample-tokens", "8"]],
])(
  "%s: killed five times",
  async (name, more) => {
    const [whole, broken] = [join(scratch, `${name}-whole`), join(scratch, `${name}-broken`)];
    expect(await run([...more, ...RUN], whole)).toEqual({ code: 0, err: "" });
    const random = Random.named(1, name);
    let kills = 0;
    for (let attempt = 0; attempt < 3 * KILLS; attempt++) {
      const begun = existsSync(join(broken, "recipe.yaml"));
      // A resumed run finds its folder at once: the time to start comes on top.
      const patience = kills === KILLS ? Infinity : (begun ? 500 : 0) + 500 * random.uniform();
      const { code, err } = await run([...more, ...RUN, ...(begun ? ["--resume"] : [])], broken, patience);
      if (code === null) kills++;
      else expect({ code, err }).toEqual({ code: 0, err: "" });
      if (code === 0) break;
    }
    expect(kills).toBeGreaterThan(0);
    expect(outcome(broken)).toEqual(outcome(whole));
    expect((outcome(whole) as { threads: number[] }).threads).toEqual([2]);
  },
  120_000,
);

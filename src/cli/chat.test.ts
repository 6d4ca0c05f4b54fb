import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { lora } from "../peft/lora.ts";
import { LORA_DEFAULTS } from "../peft/lora-config.ts";
import { newAdapter } from "../workbench/adapter.ts";
import { openModel } from "../workbench/open-model.ts";
import { saveAdapter } from "../workbench/save-adapter.ts";
import { runCli } from "./run.ts";

const scratch = mkdtempSync(join(tmpdir(), "chat-"));
const pebble = fileURLToPath(new URL("../../models/pebble", import.meta.url));
const [first, second] = [join(scratch, "first", "adapter"), join(scratch, "with space", "adapter")];
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

beforeAll(async () => {
  const model = await openModel(pebble);
  await saveAdapter(first, await newAdapter(lora({ ...LORA_DEFAULTS, r: 4 }, model.inventory, model.architecture.head), model, 1), model);
  await saveAdapter(second, await newAdapter(lora({ ...LORA_DEFAULTS, r: 2, useDora: true }, model.inventory, model.architecture.head), model, 1), model);
});

async function chat(lines: readonly string[], ...flags: string[]): Promise<{ code: number; out: string[]; err: string[] }> {
  let [out, err] = ["", ""];
  const output = { out: (text: string) => void (out += text), err: (text: string) => void (err += text), live: false, outIsTerminal: false, columns: 100 };
  const argv = ["chat", "--model", pebble, "--device", "cpu", "--threads", "2", "--greedy", "--max-tokens", "6", ...flags];
  const code = await runCli(argv, { output, input: Readable.from(lines.map((line) => `${line}\n`)), signal: new AbortController().signal }, () => "");
  return { code, out: out.split("\n").filter(Boolean), err: err.split("\n").slice(3).filter(Boolean) };
}

test("adapters are listed, switched, weighted and forgotten between turns, and mistakes change nothing", async () => {
  const { code, out, err } = await chat(
    [
      "/adapters",
      "Hello.",
      "/adapter first=0.5",
      "Hello.",
      `/adapter "${second}"`,
      `/adapter "${second}" first`,
      `/adapter ${join(scratch, "absent")}`,
      "/adapter first=much",
      "/adapters",
      "/adapter off",
      "/unload first",
      "/unload first",
    ],
    "--adapter",
    `${first}=0`,
  );
  expect(code).toBe(0);
  expect(out.length, "both were answered").toBeGreaterThanOrEqual(2);
  expect(err.map((line) => line.replaceAll(scratch, "…"))).toEqual([
    "first: lora, silent, …/first/adapter",
    "0.5·first speaks",
    "…/with space/adapter speaks",
    "error: …/with space/adapter cannot be weighted or summed with others: DoRA divides by the norm of weight and update together, so it is no sum of terms",
    "hint: Use it alone, with weight 1.",
    "error: …/absent is not an adapter folder: adapter_config.json is missing",
    'error: adapter first=much: "much" is no number, needed a weight',
    "hint: Write DIR or DIR=WEIGHT; a folder whose name has an = takes a slash at its end.",
    "first: lora, silent, …/first/adapter",
    "…/with space/adapter: lora, weight 1, …/with space/adapter",
    "the bare model speaks",
    "the bare model speaks",
    "error: no adapter named first is loaded",
    "hint: Loaded are …/with space/adapter.",
  ]);
});

test("two adapters from the start speak together", async () => {
  const { code, err } = await chat(["/adapter"], "--adapter", first, "--adapter", `${second}=0`);
  expect({ code, err }).toEqual({ code: 0, err: ["first speaks"] });
  const refused = await chat([], "--adapter", first, "--adapter", second);
  expect(refused.code).toBe(1);
});

/** What a user can get wrong, through the built program: one clear error, the right exit code, and nothing left behind. */
import { spawn } from "node:child_process";
import { chmodSync, closeSync, cpSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cli, expectRefusal, listing, MAIN, withDefaults } from "./refusal.ts";
import { writeSentences, writeTinyModel } from "./tiny/write.ts";
import { LORA_DEFAULTS } from "../src/peft/lora-config.ts";
import { lora } from "../src/peft/lora.ts";
import { newAdapter } from "../src/workbench/adapter.ts";
import { openModel } from "../src/workbench/open-model.ts";
import { saveAdapter } from "../src/workbench/save-adapter.ts";

const scratch = mkdtempSync(join(tmpdir(), "bad-input-"));
const model = join(scratch, "model");
const data = join(scratch, "sentences.jsonl");
const adapter = join(scratch, "adapter");
const output = join(scratch, "run");

const tune = (...more: readonly string[]): string[] =>
  withDefaults("tune", { "--model": model, "--data": data, "--output": output, "--device": "cpu", "--max-steps": "2" }, more);
const generate = (...more: readonly string[]): string[] => withDefaults("generate", { "--model": model, "--prompt": "x", "--max-tokens": "4" }, more);

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

/** A safetensors file taken apart, changed and put together again. */
function edited(bytes: Buffer, edit: (header: Header, body: Buffer) => Buffer | void): Buffer {
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString()) as Header;
  const body = Buffer.from(bytes.subarray(8 + headerBytes));
  const changed = edit(header, body) ?? body;
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, changed]);
}

const config =
  (change: Readonly<Record<string, unknown>>) =>
  (bytes: Buffer): Buffer =>
    Buffer.from(JSON.stringify({ ...(JSON.parse(bytes.toString()) as object), ...change }));

/** A copy of `folder` with one file damaged. */
function damaged(folder: string, file: string, damage: (bytes: Buffer) => Buffer): string {
  const copy = join(scratch, "damaged");
  rmSync(copy, { recursive: true, force: true });
  cpSync(folder, copy, { recursive: true });
  writeFileSync(join(copy, file), damage(readFileSync(join(folder, file))));
  return copy;
}

beforeAll(async () => {
  await writeTinyModel(model);
  await writeSentences(data);
  const opened = await openModel(model);
  await saveAdapter(adapter, await newAdapter(lora({ ...LORA_DEFAULTS, r: 2 }, opened.inventory, opened.architecture.head), opened, 1), opened);
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const DOWN = "model.layers.0.mlp.down_proj.weight";

describe.each<[what: string, file: string, damage: (bytes: Buffer) => Buffer, message: RegExp]>([
  ["truncated weights", "model.safetensors", (bytes) => bytes.subarray(0, bytes.length >> 1), /model\.safetensors: tensor .* the file has/],
  ["a header cut short", "model.safetensors", (bytes) => bytes.subarray(0, 5), /model\.safetensors/],
  ["a header of absurd length", "model.safetensors", (bytes) => (bytes.writeBigUInt64LE(1n << 60n, 0), bytes), /model\.safetensors/],
  [
    "offsets that take more than the shape",
    "model.safetensors",
    (bytes) => edited(bytes, (header) => void (header[DOWN]!.data_offsets[1] += 64)),
    /down_proj.* takes 40960 bytes, but its data_offsets hold 41024/,
  ],
  [
    "offsets beyond the end",
    "model.safetensors",
    (bytes) => edited(bytes, (_, body) => body.subarray(0, -100)),
    /ends at byte \d+, but the file has \d+ bytes\nhint: /,
  ],
  ["offsets that overlap", "model.safetensors", (bytes) => edited(bytes, (header) => void (header[DOWN]!.data_offsets = [0, 40960])), /model\.safetensors/],
  [
    "a missing tensor",
    "model.safetensors",
    (bytes) => edited(bytes, (header) => ((header["extra"] = header[DOWN]!), void delete header[DOWN])),
    /tensor model\.layers\.0\.mlp\.down_proj\.weight \[64, 160\] is missing/,
  ],
  [
    "a wrong shape",
    "model.safetensors",
    (bytes) => edited(bytes, (header) => void header[DOWN]!.shape.reverse()),
    /has shape \[160, 64\], config\.json needs \[64, 160\]/,
  ],
  [
    "weights as integers",
    "model.safetensors",
    (bytes) => edited(bytes, (header) => void (header[DOWN]!.dtype = "I32")),
    /down_proj\.weight is I32, needs F32, F16 or BF16/,
  ],
  [
    "a weight that is NaN",
    "model.safetensors",
    (bytes) => edited(bytes, (header, body) => void body.writeFloatLE(NaN, header[DOWN]!.data_offsets[0])),
    /is NaN, needed a finite number; the first tensor that is not finite is the base's model\.layers\.0\.mlp\.down_proj\.weight\nhint: .*damaged/,
  ],
  ["an unknown activation", "config.json", config({ hidden_act: "swoosh" }), /hidden_act is "swoosh", needs one of gelu/],
  ["an unknown rotation", "config.json", config({ rope_scaling: { rope_type: "spiral", factor: 2 } }), /rope_type is "spiral", needs one of default/],
  ["an unknown family", "config.json", config({ model_type: "lama" }), /model_type is "lama"; supported are gpt2, .*llama/],
  ["no family", "config.json", config({ model_type: undefined }), /model_type is missing/],
  ["a width that is no number", "config.json", config({ hidden_size: "64" }), /hidden_size is "64", needs a positive integer/],
  ["heads that do not divide", "config.json", config({ num_attention_heads: 5 }), /num_key_value_heads is 2, needs a divisor of num_attention_heads 5/],
  ["a configuration that is a list", "config.json", () => Buffer.from("[]"), /config\.json/],
  ["a configuration that is no JSON", "config.json", (bytes) => bytes.subarray(0, 40), /config\.json/],
  [
    "a tokenizer with more tokens than the model",
    "tokenizer.json",
    (bytes) => Buffer.from(bytes.toString().replace('"id": 258', '"id": 300')),
    /has id 300, but the model's vocab_size is 260/,
  ],
])("a model with %s", (_what, file, damage, message) => {
  test("is not tuned", () => expectRefusal(scratch, tune("--model", damaged(model, file, damage)), message));
});

describe("models that cannot be used are not written with either", () => {
  test.each<[string, string, (bytes: Buffer) => Buffer, RegExp]>([
    ["truncated weights", "model.safetensors", (bytes) => bytes.subarray(0, bytes.length >> 1), /model\.safetensors/],
    ["an unknown activation", "config.json", config({ hidden_act: "swoosh" }), /hidden_act/],
    [
      "a weight that is NaN",
      "model.safetensors",
      (bytes) => edited(bytes, (header, body) => void body.writeFloatLE(NaN, header[DOWN]!.data_offsets[0])),
      /is NaN, needed a finite number\nhint: /,
    ],
  ])("%s", (_what, file, damage, message) => expectRefusal(scratch, generate("--model", damaged(model, file, damage)), message));
});

describe("adapters", () => {
  test("of another base", async () => {
    const other = damaged(model, "model.safetensors", (bytes) => edited(bytes, (header, body) => void body.writeFloatLE(0.5, header[DOWN]!.data_offsets[0])));
    await expectRefusal(scratch, generate("--model", other, "--adapter", adapter), /was trained on another base than .*: the weights differ\nhint: /);
    await expectRefusal(scratch, ["merge", "--model", other, "--adapter", adapter, "--output", output], /the weights differ/);
  });
  test("of a base of another width, made by another tool", async () => {
    const foreign = damaged(adapter, "adapter_model.safetensors", (bytes) =>
      edited(bytes, (header) => Object.values(header).forEach(({ shape }) => shape?.length === 2 && shape.reverse())),
    );
    rmSync(join(foreign, "mini_giants.json"));
    await expectRefusal(scratch, generate("--adapter", foreign), /has shape \[\d+, \d+\], this base needs \[\d+, \d+\]\nhint: /);
  });
  test.each<[string, Readonly<Record<string, unknown>>, RegExp]>([
    ["options that are not supported", { use_qalora: true, lora_bias: true }, /use_qalora = true.*lora_bias = true|lora_bias = true.*use_qalora = true/],
    ["a start taken away from the base's weights", { init_lora_weights: "pissa" }, /init_lora_weights = "pissa" is not supported\nhint: /],
    ["a method that nobody here knows", { peft_type: "POLY" }, /peft_type is "POLY"; supported are .*LORA.*\nhint: /],
    ["a rank larger than its matrix", { r: 4096 }, /rank 4096 of \S+ is larger than its matrix \[\d+, \d+\]\nhint: /],
    ["a rank that is no number", { r: "many" }, /r is "many", needs a positive integer/],
    ["layers the model lacks", { target_modules: ["query"] }, /match no layer.*\nhint: .*q_proj/],
  ])("with %s", (_what, change, message) => expectRefusal(scratch, generate("--adapter", damaged(adapter, "adapter_config.json", config(change))), message));
  test("that are truncated, or no adapters", async () => {
    await expectRefusal(
      scratch,
      generate(
        "--adapter",
        damaged(adapter, "adapter_model.safetensors", (bytes) => bytes.subarray(0, -9)),
      ),
      /adapter_model\.safetensors/,
    );
    await expectRefusal(scratch, generate("--adapter", model), /adapter_config\.json is missing/);
    await expectRefusal(scratch, generate("--adapter", join(scratch, "absent")), /absent/);
  });
});

describe("data", () => {
  const good = '{"prompt":"a","completion":"b"}';
  const file = (text: string | Buffer): string => {
    writeFileSync(join(scratch, "bad.jsonl"), text);
    return join(scratch, "bad.jsonl");
  };

  test("30 broken lines: the first 20 by number, and that there are 30", async () => {
    const before = listing(scratch);
    const { code, out, err } = await cli(scratch, tune("--data", file(Array.from({ length: 30 }, () => `${good}\n{broken\n`).join(""))));
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toMatch(/^error: \S+bad\.jsonl: 30 problems, the first 20:\n/);
    expect([...err.matchAll(/bad\.jsonl:(\d+): /g)].map(([, line]) => Number(line))).toEqual(Array.from({ length: 20 }, (_, i) => 2 * i + 2));
    expect(err).not.toMatch(/\n\s+at /);
    expect(listing(scratch).filter((name) => name !== "bad.jsonl")).toEqual(before.filter((name) => name !== "bad.jsonl"));
  });
  test.each<[string, string | Buffer, RegExp]>([
    ["nothing", "", /it holds no records/],
    ["blank lines", "\n \n\n", /it holds no records/],
    ["a list where a record was needed", "[]", /bad\.jsonl:1: no known format has an array as a record/],
    ["bytes that are no text", Buffer.from([0xff, 0xfe, 0, 10]), /bad\.jsonl:1: the line is not valid UTF-8/],
    [
      "only examples that are too long to have an answer left",
      `${JSON.stringify({ prompt: "a".repeat(1000), completion: "b" })}\n`,
      /none of its 1 records can be trained on/,
    ],
  ])("%s", async (_what, content, message) => {
    const data = file(content);
    await expectRefusal(scratch, tune("--data", data), message);
  });
  test("examples longer than the context are counted, and what became of them is said", async () => {
    const long = file(`${`${good}\n`.repeat(20)}${JSON.stringify({ prompt: "a", completion: "b".repeat(1000) })}\n`);
    await expectRefusal(scratch, tune("--data", long, "--long-examples", "error"), /bad\.jsonl:21: the example has \d+ tokens, but at most 256 were allowed/);
    for (const [policy, said] of [
      ["truncate", /1 (of them )?(truncated|cut)/],
      ["drop", /1 (of them )?(dropped|too long|left out)/],
    ] as const) {
      const found = await cli(scratch, tune("--data", long, "--long-examples", policy, "--validation", "0", "--samples", "0"));
      expect(found.code, found.err).toBe(0);
      expect(found.out + found.err).toMatch(said);
      rmSync(output, { recursive: true });
    }
  });
});

describe("options that ask for what cannot be", () => {
  test.each<[string, readonly string[], RegExp, number]>([
    ["a rank larger than the matrix", ["--rank", "65"], /rank 65 of .* is larger than its matrix \[64, 64\]\nhint: /, 1],
    ["layers the model lacks", ["--target-modules", "query"], /match no layer of this model\nhint: .*q_proj/, 1],
    ["modules the model lacks", ["--modules-to-save", "pooler"], /pooler, which matches no module/, 1],
    ["a device that is absent", ["--device", "cuda"], /device cuda is not available.*\nhint: /, 1],
    ["a number that is none", ["--learning-rate", "fast"], /--learning-rate: "fast" is not a number/, 2],
    ["an unknown option", ["--frobnicate"], /unknown option --frobnicate/, 2],
    ["a model that is absent", ["--model", "absent"], /absent: cannot read: it does not exist/, 1],
    ["a model that is a file", ["--model", data], /is a file, but a model folder was needed/, 1],
    ["data that is absent", ["--data", "absent.jsonl"], /absent\.jsonl.*does not exist/, 1],
    ["an output that is a file", ["--output", data], /found a file, needed a folder/, 2],
    ["an output in use", ["--output", model], /found other files, needed a new or empty folder/, 2],
  ])("%s", (_what, more, message, code) => expectRefusal(scratch, tune(...more), message, { code }));

  test("webgpu where no adapter is", async () => {
    const before = listing(scratch);
    const { code, out, err } = await cli(scratch, generate("--device", "webgpu"), {
      env: { VK_ICD_FILENAMES: "/nonexistent", VK_DRIVER_FILES: "/nonexistent" },
    });
    expect({ code, out }).toEqual({ code: 1, out: "" });
    // The graphics library itself may speak before us.
    expect(err).toMatch(/(^|\n)error: device webgpu is not available: [^\n]+\nhint: [^\n]+\n$/);
    expect(listing(scratch)).toEqual(before);
  });
});

describe("runs that were tampered with are not gone on with", () => {
  const begun = join(scratch, "begun");
  const latest = (): string => join("checkpoints", readdirSync(join(begun, "checkpoints")).toSorted().at(-1)!);
  const stop = async (): Promise<void> => {
    const found = await cli(scratch, tune("--output", begun, "--max-steps", "3", "--save-steps", "1", "--samples", "0", "--save-total-limit", "0"));
    expect(found.code, found.err).toBe(0);
    // As if it had been killed after its second step.
    rmSync(join(begun, latest()), { recursive: true });
    rmSync(join(begun, "adapter"), { recursive: true });
    const lines = readFileSync(join(begun, "events.jsonl"), "utf8").split("\n");
    writeFileSync(join(begun, "events.jsonl"), lines.filter((line) => !line.includes('"type":"finished"')).join("\n"));
  };
  test.each<[string, () => string, (bytes: Buffer) => Buffer, RegExp, number]>([
    ["a truncated checkpoint", () => join(latest(), "parameters.safetensors"), (bytes) => bytes.subarray(0, 1000), /parameters\.safetensors/, 1],
    ["a broken state", () => join(latest(), "state.json"), () => Buffer.from("{"), /state\.json: found broken JSON.*\nhint: /, 1],
    [
      "another rank in its recipe",
      () => "recipe.yaml",
      (bytes) => Buffer.from(bytes.toString().replace("rank: 16", "rank: 8")),
      /has shape \[16, 64\], this run needs \[8, 64\]\nhint: /,
      1,
    ],
    ["a recipe that is no YAML", () => "recipe.yaml", (bytes) => Buffer.concat([bytes, Buffer.from("x: [\n")]), /recipe\.yaml:\d+: /, 2],
    ["an unknown key in its recipe", () => "recipe.yaml", (bytes) => Buffer.concat([bytes, Buffer.from("frobnicate: 1\n")]), /frobnicate/, 2],
  ])("%s", async (_what, file, damage, message, code) => {
    rmSync(begun, { recursive: true, force: true });
    await stop();
    const path = join(begun, file());
    writeFileSync(path, damage(readFileSync(path)));
    await expectRefusal(scratch, ["tune", "--resume", "--output", begun], message, { code });
  });
});

describe("folders that cannot be written", () => {
  test("an output folder without the right to write", async () => {
    // Rights bind the superuser nowhere but in folders that the system keeps itself.
    const locked = process.getuid?.() === 0 ? "/proc" : join(scratch, "locked");
    if (locked !== "/proc") mkdirSync(locked, { mode: 0o555 });
    await expectRefusal(scratch, tune("--output", join(locked, "mini-giants", "run")), /cannot write: .*\nhint: /);
    await expectRefusal(
      scratch,
      ["merge", "--model", model, "--adapter", adapter, "--output", join(locked, "mini-giants", "merged")],
      /cannot write: .*\nhint: /,
    );
    if (locked !== "/proc") chmodSync(locked, 0o755);
  });

  /** A module for --import after which every write that brings a file's bytes beyond `limit` fails as on a full disk. */
  const fullDisk = (limit: number): string => {
    const source = `import { open } from "node:fs/promises";
      const file = await open(process.execPath); const prototype = Object.getPrototypeOf(file); await file.close();
      let left = ${limit};
      const full = () => Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC", errno: -28, syscall: "write" });
      for (const name of ["write", "writeFile", "appendFile"]) {
        const original = prototype[name];
        prototype[name] = async function (data, ...more) { left -= data.byteLength ?? Buffer.byteLength(String(data)); if (left < 0) throw full(); return await original.call(this, data, ...more); };
      }`;
    return `data:text/javascript,${encodeURIComponent(source)}`;
  };

  test("a disk that gets full while a checkpoint is written: what is there is whole, and the run goes on once there is room", async () => {
    const before = listing(scratch);
    const args = tune("--max-steps", "4", "--save-steps", "1", "--samples", "0", "--threads", "1");
    const found = await cli(scratch, args, { node: ["--import", fullDisk(1_500_000)] });
    expect(found.code, found.err).toBe(1);
    expect(found.err).toMatch(/^error: \S+: cannot write: the disk is full\nhint: Free some space[^\n]+\n$/);
    const left = listing(scratch).filter((name) => !before.includes(name));
    expect(left.filter((name) => /partial|\.tmp|\.old/.test(name))).toEqual([]);
    expect(left.filter((name) => /checkpoints\/[^/]+$/.test(name)).length).toBeGreaterThan(0);
    expect(await cli(scratch, ["tune", "--output", output, "--resume"])).toMatchObject({ code: 0 });
    const whole = join(scratch, "whole");
    expect(
      await cli(
        scratch,
        args.map((arg) => (arg === output ? whole : arg)),
      ),
    ).toMatchObject({ code: 0 });
    const [resumed, undisturbed] = [output, whole].map((folder) => readFileSync(join(folder, "adapter", "adapter_model.safetensors")));
    expect(resumed!.equals(undisturbed!)).toBe(true);
    for (const folder of [output, whole]) rmSync(folder, { recursive: true });
  });

  test.runIf(process.platform === "linux")("standard output on a full disk", async () => {
    const full = openSync("/dev/full", "w");
    const child = spawn(process.execPath, [MAIN, ...generate()], { cwd: scratch, stdio: ["ignore", full, "pipe"] });
    let err = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (err += text));
    const code = await new Promise((resolve) => child.on("close", resolve));
    closeSync(full);
    expect({ code, err }).toEqual({
      code: 1,
      err: "error: standard output: cannot write: the disk is full\nhint: Free some space or choose a folder on another disk.\n",
    });
  });

  test("a disk that is full when a model is merged", () =>
    expectRefusal(scratch, ["merge", "--model", model, "--adapter", adapter, "--output", output], /cannot write: the disk is full\nhint: /, {
      node: ["--import", fullDisk(100_000)],
    }));
});

/** Model folders as they come: half precision, shards, the Hub's cache of links, no right to write, odd offsets, shorter names. */
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenFolder } from "../../test/golden.ts";
import { openLogits, randomTokens, rowsOf } from "../../test/model-logits.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { HALF_LOGITS, LOGITS, worstExcess } from "../../test/tolerance.ts";
import { Random } from "../base/random.ts";
import { floats, type HostTensor } from "../core/dtype.ts";
import type { Batch } from "../data/batch.ts";
import { openGenerator } from "../generate/generator.ts";
import { readSafetensorsHeader, readTensor, readTensorBytes } from "../io/safetensors.ts";
import { type TensorToWrite, writeSafetensors } from "../io/safetensors-writer.ts";
import { full } from "../peft/full.ts";
import { lora } from "../peft/lora.ts";
import { LORA_DEFAULTS } from "../peft/lora-config.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { createLearner } from "../train/graph-learner.ts";
import { ADAMW } from "../train/step-graph.ts";
import { newAdapter } from "./adapter.ts";
import { mergeAdapter } from "./merge.ts";
import { openModel, type OpenModel } from "./open-model.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
});
afterAll(() => engine.close());

const golden = (name: string): string => join(goldenFolder(), "models", name);
const batchFor = (vocabSize: number): Batch => {
  const random = new Random(9);
  return rowsOf([12, 9].map((length) => [{ tokens: randomTokens(random, length, vocabSize) }]));
};

/** A copy of a golden model with every tensor passed through `change`; undefined leaves it out. */
async function rewrite(name: string, change: (tensor: TensorToWrite & { readonly data: Float32Array }) => TensorToWrite | undefined): Promise<string> {
  const folder = temporaryFolder();
  cpSync(join(golden(name), "config.json"), join(folder, "config.json"));
  const { entries } = await readSafetensorsHeader(join(golden(name), "model.safetensors"));
  const tensors: TensorToWrite[] = [];
  for (const [key, entry] of entries) {
    const changed = change({ name: key, dtype: "F32", shape: entry.shape, data: await readTensor(entry) });
    if (changed !== undefined) tensors.push(changed);
  }
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { format: "pt" });
  return folder;
}

async function logitsOf(model: OpenModel): Promise<Float32Array> {
  const program = await openLogits(engine, model);
  const logits = await program.of(batchFor(model.architecture.vocabSize));
  await program.close();
  return logits;
}

/** Losses of three steps on one batch. */
async function lossesOf(model: OpenModel, method: "lora" | "full"): Promise<number[]> {
  const chosen = method === "full" ? full(model.inventory) : lora({ ...LORA_DEFAULTS, r: 4 }, model.inventory, model.architecture.head);
  const learner = await createLearner({ engine, model, adapter: await newAdapter(chosen, model, 1), optimizer: ADAMW, maxGradNorm: 1 });
  const batch = batchFor(model.architecture.vocabSize);
  const losses: number[] = [];
  for (let step = 0; step < 3; step++) {
    losses.push((await learner.accumulate(batch, 1 / batch.labelIds.length, 0)).lossSum);
    await learner.update(5e-3);
  }
  await learner.close();
  return losses;
}

/** All that is done with a model, compared bit by bit with the golden folder it came from. */
async function expectSameBits(folder: string, name: string): Promise<void> {
  const [model, reference] = [await openModel(folder), await openModel(golden(name))];
  expect(await logitsOf(model)).toEqual(await logitsOf(reference));
  for (const method of ["lora", "full"] as const) expect(await lossesOf(model, method)).toEqual(await lossesOf(reference, method));
  const [ours, theirs] = await Promise.all([openGenerator(engine, model), openGenerator(engine, reference)]);
  const options = { maxTokens: 8, stopTokens: [] };
  expect(await ours.generate([[1, 2, 3]], options)).toEqual(await theirs.generate([[1, 2, 3]], options));
  await Promise.all([ours.close(), theirs.close()]);
}

describe.each(["llama_gqa", "llama_mha_tied", "gpt2", "gpt_neox", "gptj"])("%s", (name) => {
  it.each(["F16", "BF16"] as const)("runs and is tuned from %s", async (dtype) => {
    const half = await openModel(await rewrite(name, (tensor) => ({ ...tensor, dtype })));
    const rounded = new Map<string, Float32Array>();
    for (const key of half.inventory.parameters.keys()) {
      expect(half.entry(key).dtype).toBe(dtype);
      rounded.set(half.entry(key).name, await half.read(key));
    }
    const logits = await logitsOf(half);
    const exact = await openModel(await rewrite(name, (tensor) => ({ ...tensor, data: rounded.get(tensor.name) ?? tensor.data })));
    const worst = worstExcess(logits, await logitsOf(exact), LOGITS);
    expect(worst.excess, `the same numbers as F32 [${worst.index}]: ${worst.actual}, ${worst.expected}`).toBeLessThanOrEqual(1);
    const original = await logitsOf(await openModel(golden(name)));
    const largest = original.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const off = worstExcess(logits, original, { absolute: HALF_LOGITS[dtype] * largest, relative: 0 });
    expect(off.excess, `the original [${off.index}]: ${off.actual}, ${off.expected}, largest ${largest}`).toBeLessThanOrEqual(1);
    for (const method of ["lora", "full"] as const) {
      const losses = await lossesOf(half, method);
      expect(losses[2], losses.join(" ")).toBeLessThan(losses[0]!);
    }
  });

  it.each(["F16", "BF16"] as const)("is merged with an adapter from %s", async (dtype) => {
    const half = await openModel(await rewrite(name, (tensor) => ({ ...tensor, dtype })));
    const { method, tensors } = await newAdapter(lora({ ...LORA_DEFAULTS, r: 4 }, half.inventory, half.architecture.head), half, 1);
    const random = new Random(4);
    const noisy = ([key, { shape, data }]: [string, HostTensor]): [string, HostTensor] => [
      key,
      floats(
        shape,
        (data as Float32Array).map((value) => value + 0.05 * random.normal()),
      ),
    ];
    const adapter = { method, tensors: new Map([...tensors].map(noisy)) };
    const program = await openLogits(engine, half, adapter);
    const expected = await program.of(batchFor(half.architecture.vocabSize));
    await program.close();
    const merged = join(temporaryFolder(), "merged");
    await mergeAdapter(engine, half, adapter, merged);
    const worst = worstExcess(await logitsOf(await openModel(merged)), expected, LOGITS);
    expect(worst.excess, `[${worst.index}]: ${worst.actual}, ${worst.expected}`).toBeLessThanOrEqual(1);
  });

  it("gives the same bits from three shards", async () => {
    const folder = temporaryFolder();
    cpSync(join(golden(name), "config.json"), join(folder, "config.json"));
    const { entries } = await readSafetensorsHeader(join(golden(name), "model.safetensors"));
    const shards: TensorToWrite[][] = [[], [], []];
    const weight_map: Record<string, string> = {};
    let i = 0;
    for (const [key, entry] of entries) {
      shards[i % 3]!.push({ name: key, dtype: "F32", shape: entry.shape, data: await readTensorBytes(entry) });
      weight_map[key] = `model-0000${(i++ % 3) + 1}-of-00003.safetensors`;
    }
    for (const [s, tensors] of shards.entries()) await writeSafetensors(join(folder, `model-0000${s + 1}-of-00003.safetensors`), tensors);
    writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map }));
    await expectSameBits(folder, name);
  });

  it.each([1, 6])("gives the same bits with weights %d bytes off alignment", async (off) => {
    const bytes = readFileSync(join(golden(name), "model.safetensors"));
    const headerBytes = Number(bytes.readBigUInt64LE(0));
    const folder = temporaryFolder();
    cpSync(join(golden(name), "config.json"), join(folder, "config.json"));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(headerBytes + off));
    writeFileSync(
      join(folder, "model.safetensors"),
      Buffer.concat([length, bytes.subarray(8, 8 + headerBytes), Buffer.from(" ".repeat(off)), bytes.subarray(8 + headerBytes)]),
    );
    await expectSameBits(folder, name);
  });
});

it.each([
  ["gpt2", "transformer."],
  ["llama_gqa", "model."],
  ["gpt_neox", "gpt_neox."],
  ["gptj", "transformer."],
])("%s: names may lack %s", async (name, prefix) => {
  const folder = await rewrite(name, (tensor) => ({ ...tensor, name: tensor.name.startsWith(prefix) ? tensor.name.slice(prefix.length) : tensor.name }));
  await expectSameBits(folder, name);
});

it("reads the Hub's cache, where files are links into a folder of blobs", async () => {
  const cache = temporaryFolder();
  mkdirSync(join(cache, "blobs"));
  mkdirSync(join(cache, "snapshots", "0a1b"), { recursive: true });
  for (const [i, file] of ["config.json", "model.safetensors"].entries()) {
    cpSync(join(golden("llama_gqa"), file), join(cache, "blobs", `blob${i}`));
    symlinkSync(join("..", "..", "blobs", `blob${i}`), join(cache, "snapshots", "0a1b", file));
  }
  await expectSameBits(join(cache, "snapshots", "0a1b"), "llama_gqa");
});

it("reads shards of the Hub's cache, each a link of its own", async () => {
  const cache = temporaryFolder();
  const snapshot = join(cache, "snapshots", "0a1b");
  mkdirSync(join(cache, "blobs"));
  mkdirSync(snapshot, { recursive: true });
  const { entries } = await readSafetensorsHeader(join(golden("gpt2"), "model.safetensors"));
  const names = [...entries.keys()];
  const weight_map: Record<string, string> = {};
  for (const s of [0, 1]) {
    const file = `model-0000${s + 1}-of-00002.safetensors`;
    const tensors = await Promise.all(
      names
        .filter((_, i) => i % 2 === s)
        .map(async (key) => ({ name: key, dtype: "F32", shape: entries.get(key)!.shape, data: await readTensorBytes(entries.get(key)!) })),
    );
    for (const { name } of tensors) weight_map[name] = file;
    await writeSafetensors(join(snapshot, file), tensors);
    renameSync(join(snapshot, file), join(cache, "blobs", `blob${s}`));
    symlinkSync(join("..", "..", "blobs", `blob${s}`), join(snapshot, file));
  }
  writeFileSync(join(snapshot, "model.safetensors.index.json"), JSON.stringify({ weight_map }));
  cpSync(join(golden("gpt2"), "config.json"), join(snapshot, "config.json"));
  await expectSameBits(snapshot, "gpt2");
});

it("writes nothing into a model folder", async () => {
  const folder = temporaryFolder();
  for (const file of ["config.json", "model.safetensors"]) cpSync(join(golden("llama_gqa"), file), join(folder, file));
  chmodSync(folder, 0o555);
  const seen = (): unknown => readdirSync(folder).map((file) => [file, statSync(join(folder, file)).mtimeMs, statSync(join(folder, file)).size]);
  const before = [seen(), statSync(folder).mtimeMs];
  await expectSameBits(folder, "llama_gqa");
  expect([seen(), statSync(folder).mtimeMs]).toEqual(before);
  chmodSync(folder, 0o755);
});

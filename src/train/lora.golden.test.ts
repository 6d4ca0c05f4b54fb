import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenCases, goldenFolder, notCovered, readJson } from "../../test/golden.ts";
import { type GoldenBatch, referenceLogits, tokenRows } from "../../test/golden-batch.ts";
import { expectGradients, expectTraining, type GoldenTraining, lossAndGradients } from "../../test/golden-learner.ts";
import { LOGITS, LOSS, MERGED_WEIGHT, worstExcess } from "../../test/tolerance.ts";
import type { HostTensor } from "../core/dtype.ts";
import { readSafetensorsHeader, readTensor } from "../io/safetensors.ts";
import { decoderInputs } from "../models/architecture.ts";
import { decoderFeeds, padToBlocks } from "../models/feeds.ts";
import { emit } from "../onnx/emit.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import { adapt } from "../peft/adapt.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import type { LoadedAdapter } from "../workbench/adapter.ts";
import { loadAdapter } from "../workbench/load-adapter.ts";
import { mergeAdapter } from "../workbench/merge.ts";
import { openModel, type OpenModel } from "../workbench/open-model.ts";
import { saveAdapter } from "../workbench/save-adapter.ts";

interface LoraReference {
  readonly base_model: string;
  readonly trainable: number;
  readonly batches: Readonly<Record<string, GoldenBatch>>;
  readonly training?: GoldenTraining;
}

let engine: Engine;
let scratch: string;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
  scratch = await mkdtemp(join(tmpdir(), "mini-giants-lora-"));
});
afterAll(async () => {
  await engine.close();
  await rm(scratch, { recursive: true, force: true });
});

/** Logits of every position, with 0 at padding as the reference stores them. */
async function logitsOf(model: OpenModel, adapter: LoadedAdapter | undefined, batch: GoldenBatch): Promise<Float32Array> {
  const { architecture } = model;
  const { context, leaves } = adapt(adapter?.method);
  const hidden = architecture.forward(context, decoderInputs(architecture));
  const graph = emit({ logits: context.linear(architecture.head.path, hidden, architecture.head.spec) }, { target: "cpu", weights: model.locate });
  const program = await engine.open(encodeModel(graph), { weightsFolder: model.weightsFolder });
  const rows = tokenRows(batch);
  const padded = padToBlocks(rows);
  const feeds = { ...decoderFeeds(architecture, padded), ...Object.fromEntries([...leaves.keys()].map((name) => [name, adapter!.tensors.get(name)!])) };
  const { logits } = await program.run(feeds, { logits: "host" });
  await program.close();
  return referenceLogits((logits as HostTensor).data as Float32Array, padded.length, rows, architecture.vocabSize);
}

describe.each(goldenCases("lora"))("lora/$name", ({ name, folder }) => {
  const reference = readJson<LoraReference>(folder, "reference.json");
  const baseFolder = join(goldenFolder(), reference.base_model);
  const missing = notCovered(baseFolder);
  const open = async (): Promise<{ model: OpenModel; adapter: LoadedAdapter }> => {
    const model = await openModel(baseFolder);
    return { model, adapter: await loadAdapter(folder, model) };
  };

  it("loads and gives the reference's logits", async (context) => {
    if (missing !== undefined) return context.skip(`not covered: ${name}: ${missing}`);
    const { model, adapter } = await open();
    const { entries } = await readSafetensorsHeader(join(folder, "expected.safetensors"));
    for (const [batchName, batch] of Object.entries(reference.batches)) {
      const worst = worstExcess(await logitsOf(model, adapter, batch), await readTensor(entries.get(`${batchName}.logits`)!), LOGITS);
      expect(worst.excess, `${batchName} logits[${worst.index}]: ${worst.actual}, reference ${worst.expected}`).toBeLessThanOrEqual(1);
    }
    const trainable = [...adapter.method.tensors.values()]
      .filter(({ trained }) => trained)
      .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect(trainable).toBe(reference.trainable);
  });

  for (const recompute of [false, true]) {
    it(`gives the reference's loss and every gradient${recompute ? " with blocks recomputed" : ""}`, async (context) => {
      if (missing !== undefined) return context.skip(`not covered: ${name}: ${missing}`);
      const { model, adapter } = await open();
      for (const [batchName, batch] of Object.entries(reference.batches)) {
        const { loss, gradients } = await lossAndGradients({ engine, model, adapter, recompute }, batch);
        expect(worstExcess([loss], [batch.loss], LOSS).excess, `${batchName} loss ${loss}, reference ${batch.loss}`).toBeLessThanOrEqual(1);
        await expectGradients(gradients, join(folder, "expected.safetensors"), `${batchName}.grad.`);
      }
    });
  }

  if (reference.training !== undefined) {
    it("follows the reference's AdamW steps to its final weights", async (context) => {
      if (missing !== undefined) return context.skip(`not covered: ${name}: ${missing}`);
      await expectTraining({ engine, ...(await open()) }, reference.training!, join(folder, "final_adapter.safetensors"));
    });
  }

  it("is written with PEFT's keys, shapes and types, and reads back the same", async (context) => {
    if (missing !== undefined) return context.skip(`not covered: ${name}: ${missing}`);
    const { model, adapter } = await open();
    const copy = join(scratch, `${name}-copy`);
    await saveAdapter(copy, adapter, model);
    const [ours, theirs] = await Promise.all(
      [copy, folder].map(async (each) => (await readSafetensorsHeader(join(each, "adapter_model.safetensors"))).entries),
    );
    const described = (entries: typeof ours): unknown => [...entries!].map(([key, { dtype, shape }]) => [key, dtype, shape]).toSorted();
    expect(described(ours)).toEqual(described(theirs));
    const again = await loadAdapter(copy, model);
    for (const [key, tensor] of adapter.tensors) expect(again.tensors.get(key)!.data).toEqual(tensor.data);
    const [written, read] = [copy, folder].map((each) => readJson<Record<string, unknown>>(each, "adapter_config.json"));
    for (const field of [
      "peft_type",
      "task_type",
      "r",
      "lora_alpha",
      "lora_dropout",
      "use_rslora",
      "use_dora",
      "bias",
      "rank_pattern",
      "alpha_pattern",
      "modules_to_save",
      "layers_to_transform",
      "fan_in_fan_out",
    ]) {
      expect(written![field], field).toEqual(read![field]);
    }
  });

  it("merges to the reference's weights, and the merged model gives the adapted logits", async (context) => {
    if (missing !== undefined) return context.skip(`not covered: ${name}: ${missing}`);
    const { model, adapter } = await open();
    const merged = join(scratch, `${name}-merged`);
    await mergeAdapter(engine, model, adapter, merged);
    const mergedModel = await openModel(merged);
    const { entries } = await readSafetensorsHeader(join(folder, "merged_changed_weights.safetensors"));
    expect(entries.size).toBeGreaterThan(0);
    for (const [key, entry] of entries) {
      const worst = worstExcess(await mergedModel.read(key), await readTensor(entry), MERGED_WEIGHT);
      expect(worst.excess, `${key}[${worst.index}]: ${worst.actual}, reference ${worst.expected}`).toBeLessThanOrEqual(1);
    }
    const batch = reference.batches["plain"]!;
    const worst = worstExcess(await logitsOf(mergedModel, undefined, batch), await logitsOf(model, adapter, batch), LOGITS);
    expect(worst.excess).toBeLessThanOrEqual(1);
  });
});

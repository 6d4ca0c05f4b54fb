/** Golden cases of adapters: what their own libraries wrote and computed, and what must come of it here. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { HostTensor } from "../src/core/dtype.ts";
import { readSafetensorsHeader, readTensor } from "../src/io/safetensors.ts";
import { openGenerator } from "../src/generate/generator.ts";
import { decoderInputs } from "../src/models/architecture.ts";
import { decoderFeeds, padToBlocks } from "../src/models/feeds.ts";
import { forward } from "../src/nn/decoder.ts";
import { emit } from "../src/onnx/emit.ts";
import { encodeModel } from "../src/onnx/protobuf.ts";
import { adapt } from "../src/peft/adapt.ts";
import type { Engine } from "../src/runtime/engine.ts";
import { startEngine } from "../src/runtime/worker-engine.ts";
import type { LoadedAdapter } from "../src/workbench/adapter.ts";
import { exportAdapter } from "../src/workbench/export-adapter.ts";
import { loadAdapter } from "../src/workbench/load-adapter.ts";
import { mergeAdapter } from "../src/workbench/merge.ts";
import { openModel, type OpenModel } from "../src/workbench/open-model.ts";
import { saveAdapter } from "../src/workbench/save-adapter.ts";
import { goldenCases, goldenFolder, notCovered, readJson } from "./golden.ts";
import { type GoldenBatch, referenceLogits, tokenRows, withVirtualTokens } from "./golden-batch.ts";
import { expectGradients, expectTraining, type GoldenTraining, lossAndGradients } from "./golden-learner.ts";
import { LOGITS, LOSS, MERGED_WEIGHT, worstExcess, type Tolerance } from "./tolerance.ts";

export interface AdapterReference {
  readonly base_model: string;
  readonly trainable?: number;
  readonly batches: Readonly<Record<string, GoldenBatch>>;
  readonly training?: GoldenTraining;
  readonly greedy16_no_cache?: { readonly prompt: readonly (readonly number[])[]; readonly new_tokens: readonly (readonly number[])[] };
}

/** Logits of every position, with 0 at padding as the reference stores them. */
async function logitsOf(engine: Engine, model: OpenModel, adapter: LoadedAdapter | undefined, batch: GoldenBatch): Promise<Float32Array> {
  const { architecture } = model;
  const inputs = decoderInputs(architecture);
  const { context, leaves } = adapt(adapter?.method, { inputs });
  const hidden = forward(architecture.decoder, context, inputs);
  const graph = emit({ logits: context.linear(architecture.head.path, hidden, architecture.head.spec) }, { target: "cpu", weights: model.locate });
  const program = await engine.open(encodeModel(graph), { weightsFolder: model.weightsFolder });
  const rows = tokenRows(withVirtualTokens(batch, adapter?.method, architecture.vocabSize));
  const padded = padToBlocks(rows);
  const feeds = {
    ...decoderFeeds(architecture, padded, adapter?.method.firstPosition),
    ...Object.fromEntries([...leaves.keys()].map((name) => [name, adapter!.tensors.get(name)!])),
  };
  const { logits } = await program.run(feeds, { logits: "host" });
  await program.close();
  return referenceLogits((logits as HostTensor).data as Float32Array, padded.length, rows, architecture.vocabSize);
}

/** What is particular to a kind of cases. */
export interface AdapterCases {
  /** Folder of the cases under the golden data. */
  readonly kind: string;
  /** The file of tensors. */
  readonly weightsFile: string;
  /** Fields of adapter_config.json that must be written as they were read; a path such as "config.scaling" goes deeper. */
  readonly configFields: readonly string[];
  /** The base's folder, where it is not the one that the case names among the golden models. */
  readonly base?: (folder: string) => string;
  /** For gradient norms of training. */
  readonly normTolerance?: Tolerance;
  /** Cases that are not taken. */
  readonly without?: readonly string[];
  /** The adapter of a case as it is trained and its final tensors' file, where its file holds something else. */
  readonly inTraining?: (folder: string, model: OpenModel) => Promise<{ readonly adapter: LoadedAdapter; readonly final: string } | undefined>;
}

const fieldOf = (json: unknown, path: string): unknown =>
  path.split(".").reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], json);

/** Declares the tests of all cases of one kind. */
export function describeAdapterCases({
  kind,
  weightsFile,
  configFields,
  base,
  normTolerance,
  without = [],
  inTraining = async () => undefined,
}: AdapterCases): void {
  let engine: Engine;
  let scratch: string;
  beforeAll(async () => {
    engine = await startEngine({ device: "cpu", threads: 2 });
    scratch = await mkdtemp(join(tmpdir(), `mini-giants-${kind.replaceAll(/\W/g, "-")}-`));
  });
  afterAll(async () => {
    await engine.close();
    await rm(scratch, { recursive: true, force: true });
  });

  describe.each(goldenCases(kind).filter(({ name }) => !without.includes(name)))(`${kind}/$name`, ({ name, folder }) => {
    const reference = readJson<AdapterReference>(folder, "reference.json");
    const baseFolder = base?.(folder) ?? join(goldenFolder(), reference.base_model);
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
        const { segments } = tokenRows(withVirtualTokens(batch, adapter.method, model.architecture.vocabSize));
        // Some references are not 0 at padding, where nothing is to be compared.
        const expected = (await readTensor(entries.get(`${batchName}.logits`)!)).map((logit, i) =>
          segments[Math.floor(i / model.architecture.vocabSize)] === 0 ? 0 : logit,
        );
        const worst = worstExcess(await logitsOf(engine, model, adapter, batch), expected, LOGITS);
        expect(worst.excess, `${batchName} logits[${worst.index}]: ${worst.actual}, reference ${worst.expected}`).toBeLessThanOrEqual(1);
      }
      const trainable = [...adapter.method.tensors.values()]
        .filter(({ trained }) => trained)
        .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
      if (reference.trainable !== undefined) expect(trainable).toBe(reference.trainable);
    });

    for (const recompute of [false, true]) {
      it(`gives the reference's loss and every gradient${recompute ? " with blocks recomputed" : ""}`, async (context) => {
        if (missing !== undefined) return context.skip(`not covered: ${name}: ${missing}`);
        const { model, adapter: loaded } = await open();
        const adapter = (await inTraining(folder, model))?.adapter ?? loaded;
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
        const { model, adapter } = await open();
        const trained = (await inTraining(folder, model)) ?? { adapter, final: "final_adapter.safetensors" };
        await expectTraining(
          { engine, model, adapter: trained.adapter, ...(normTolerance && { normTolerance }) },
          reference.training!,
          join(folder, trained.final),
        );
        const exported = await exportAdapter(engine, trained.adapter);
        for (const [key, { data }] of adapter.tensors)
          expect(worstExcess(exported.tensors.get(key)!.data, data, MERGED_WEIGHT).excess, key).toBeLessThanOrEqual(1);
      });
    }

    const greedy = reference.greedy16_no_cache;
    if (greedy !== undefined) {
      it("writes the reference's tokens with a cache", async (context) => {
        if (missing !== undefined) return context.skip(`not covered: ${name}: ${missing}`);
        const { model, adapter } = await open();
        const generator = await openGenerator(engine, model, adapter);
        // Twice: the second time the prompt is in the cache already.
        for (const time of ["first", "second"])
          expect(await generator.generate(greedy.prompt, { maxTokens: greedy.new_tokens[0]!.length, stopTokens: [] }), time).toEqual(greedy.new_tokens);
        await generator.close();
      });
    }

    it("is written with the reference's keys, shapes and types, and reads back the same", async (context) => {
      if (missing !== undefined) return context.skip(`not covered: ${name}: ${missing}`);
      const { model, adapter } = await open();
      const copy = join(scratch, `${name}-copy`);
      await saveAdapter(copy, adapter, model);
      const [ours, theirs] = await Promise.all([copy, folder].map(async (each) => (await readSafetensorsHeader(join(each, weightsFile))).entries));
      const described = (entries: typeof ours): unknown => [...entries!].map(([key, { dtype, shape }]) => [key, dtype, shape]).toSorted();
      expect(described(ours)).toEqual(described(theirs));
      const again = await loadAdapter(copy, model);
      for (const [key, tensor] of adapter.tensors) expect(again.tensors.get(key)!.data).toEqual(tensor.data);
      const [written, read] = [copy, folder].map((each) => readJson<Record<string, unknown>>(each, "adapter_config.json"));
      for (const field of configFields) expect(fieldOf(written, field), field).toEqual(fieldOf(read, field));
    });

    if (!existsSync(join(folder, "merged_changed_weights.safetensors"))) return;
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
      const worst = worstExcess(await logitsOf(engine, mergedModel, undefined, batch), await logitsOf(engine, model, adapter, batch), LOGITS);
      expect(worst.excess).toBeLessThanOrEqual(1);
    });
  });
}

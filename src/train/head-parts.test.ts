/** A head computed in parts of its vocabulary is the same head. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenFolder } from "../../test/golden.ts";
import { randomTokens, rowsOf } from "../../test/model-logits.ts";
import { GRADIENT_OF_MAXIMUM, LOSS, worstExcess } from "../../test/tolerance.ts";
import { Random } from "../base/random.ts";
import { floats, type HostTensor, integers } from "../core/dtype.ts";
import type { Batch } from "../data/batch.ts";
import { decoderFeeds, padToBlocks } from "../models/feeds.ts";
import { headParts } from "../nn/loss.ts";
import { emit } from "../onnx/emit.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import { lora } from "../peft/lora.ts";
import { LORA_DEFAULTS } from "../peft/lora-config.ts";
import { executionOrder } from "../plan/execution-order.ts";
import { programMemory } from "../plan/program-memory.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { openModel, type OpenModel } from "../workbench/open-model.ts";
import { type LossGraphOptions, stepGraph } from "./step-graph.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
});
afterAll(() => engine.close());

/** LoRA with non-zero terms, on the head too where `targets` says so. */
async function results(
  model: OpenModel,
  targets: "all-linear" | readonly string[],
  batch: Batch,
  options: LossGraphOptions,
): Promise<Record<string, HostTensor>> {
  const { architecture, inventory } = model;
  const method = lora({ ...LORA_DEFAULTS, r: 4, targetModules: targets }, inventory, architecture.head);
  const graph = stepGraph(architecture, method, options);
  const program = await engine.open(encodeModel(emit(graph, { target: "cpu", weights: model.locate })), { weightsFolder: model.weightsFolder });
  const padded = padToBlocks(batch);
  const feeds: Record<string, HostTensor> = {
    ...decoderFeeds(architecture, padded),
    labelRows: integers([padded.labelRows.length], padded.labelRows),
    labelIds: integers([padded.labelIds.length], padded.labelIds),
    scale: floats([], [1 / batch.labelIds.length]),
  };
  for (const [name, { shape }] of method.tensors) {
    const random = Random.named(7, name);
    feeds[name] = floats(
      shape,
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.1 * random.normal()),
    );
  }
  const outputs = await program.run(
    Object.fromEntries(program.inputNames.map((name) => [name, feeds[name]!])),
    Object.fromEntries(Object.keys(graph).map((name) => [name, "host" as const])),
  );
  await program.close();
  return outputs as Record<string, HostTensor>;
}

describe.each([
  { golden: "llama_mha_tied", targets: "all-linear" as const },
  { golden: "llama_gqa", targets: ["lm_head", "q_proj"] },
  { golden: "gpt2", targets: "all-linear" as const },
])("the head of $golden with LoRA on $targets", ({ golden, targets }) => {
  for (const recompute of [false, true]) {
    it(`gives the same loss and gradients in parts${recompute ? ", computed anew one after the other" : ""}`, async () => {
      const model = await openModel(join(goldenFolder(), "models", golden));
      const random = new Random(1);
      const batch = rowsOf([24, 17].map((length) => [{ tokens: randomTokens(random, length, model.architecture.vocabSize) }]));
      const whole = await results(model, targets, batch, { recompute });
      const inParts = await results(model, targets, batch, { recompute, headRows: 37 });
      expect(Object.keys(inParts)).toEqual(Object.keys(whole));
      const count = batch.labelIds.length;
      expect(worstExcess([inParts["lossSum"]!.data[0]! / count], [whole["lossSum"]!.data[0]! / count], LOSS).excess).toBeLessThanOrEqual(1);
      for (const [name, { data }] of Object.entries(whole)) {
        const largest = (data as Float32Array).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        const worst = worstExcess(inParts[name]!.data, data, { absolute: GRADIENT_OF_MAXIMUM * largest + 1e-12, relative: 0 });
        expect(worst.excess, `${name}[${worst.index}]: ${worst.actual}, whole ${worst.expected}`).toBeLessThanOrEqual(1);
      }
    });
  }
});

describe("a head in parts", () => {
  it("is whole for usual vocabularies, and covers every row of a large one once", () => {
    expect(headParts({ inFeatures: 576, outFeatures: 49152, bias: false })).toEqual([{ start: 0, length: 49152 }]);
    const parts = headParts({ inFeatures: 2048, outFeatures: 128256, bias: false });
    expect(parts.length).toBe(8);
    expect(parts.reduce((end, { start, length }) => (expect(start).toBe(end), end + length), 0)).toBe(128256);
  });

  it("holds one part's logits and weights at a time where they are computed anew", async () => {
    const { architecture, inventory } = await openModel(join(goldenFolder(), "models", "llama_mha_tied"));
    const method = lora({ ...LORA_DEFAULTS, r: 4 }, inventory, architecture.head);
    const weights = () => ({ location: "weights", offset: 0, bytes: 0, storage: "BF16" as const });
    const memory = (options: LossGraphOptions): number => {
      const model = emit(stepGraph(architecture, method, { recompute: true, ...options }), { target: "cpu", weights });
      return programMemory(model, { bindings: new Map(Object.entries({ B: 1, Q: 4, N: 4096 })) }).liveBytes;
    };
    const bytes = (rows: number): number => 4 * 4096 * rows;
    const { vocabSize } = architecture;
    // Beside logits of a part there are a few tensors of the hidden width.
    expect(memory({ headRows: vocabSize / 8 })).toBeLessThan(memory({}) - bytes(vocabSize) / 2);
  });

  it("widens a weight only when its product is next", async () => {
    const { architecture, inventory } = await openModel(join(goldenFolder(), "models", "llama_mha_tied"));
    const method = lora({ ...LORA_DEFAULTS, r: 4 }, inventory, architecture.head);
    const weights = () => ({ location: "weights", offset: 0, bytes: 0, storage: "BF16" as const });
    const { nodes, initializers } = emit(stepGraph(architecture, method, { recompute: true }), { target: "cpu", weights });
    const half = new Set(initializers.filter(({ type, dims }) => type === "bfloat16" && dims.length === 2).map(({ name }) => name));
    const order = executionOrder(nodes);
    const widenings = order.flatMap((node, at) => (node.operator === "Cast" && half.has(node.inputs[0]!) ? [{ node, at }] : []));
    expect(widenings.length).toBeGreaterThan(0);
    for (const { node, at } of widenings) {
      const used = order.findIndex(({ inputs }) => inputs.includes(node.outputs[0]!));
      expect(used - at, `${node.inputs[0]} is widened ${used - at} nodes before its use`).toBeLessThanOrEqual(3);
    }
  });
});

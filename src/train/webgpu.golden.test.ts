/** The golden gradients of llama on WebGPU: losses can agree while gradients do not, so every gradient is compared. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenCases, goldenFolder, readJson } from "../../test/golden.ts";
import type { GoldenBatch } from "../../test/golden-batch.ts";
import { expectGradients, lossAndGradients } from "../../test/golden-learner.ts";
import { LOSS, worstExcess } from "../../test/tolerance.ts";
import { useSoftwareWebgpu } from "../../test/webgpu.ts";
import { full } from "../peft/full.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { newAdapter } from "../workbench/adapter.ts";
import { loadAdapter } from "../workbench/load-adapter.ts";
import { openModel } from "../workbench/open-model.ts";

let engine: Engine;
beforeAll(async () => {
  useSoftwareWebgpu();
  engine = await startEngine({ device: "webgpu", threads: 2 });
});
afterAll(() => engine?.close());

const models = join(goldenFolder(), "models");

describe.each(goldenCases("full_grads").filter(({ name }) => name.startsWith("llama")))("full_grads/$name on WebGPU", ({ name, folder }) => {
  it("gives the gradient of every parameter", async () => {
    const model = await openModel(join(models, name));
    const adapter = await newAdapter(full(model.inventory), model, 0);
    const { batches } = readJson<{ batches: Record<string, GoldenBatch> }>(models, name, "reference.json");
    const { loss, gradients } = await lossAndGradients({ engine, model, adapter }, batches["right_padded"]!);
    expect(worstExcess([loss], [batches["right_padded"]!.loss], LOSS).excess).toBeLessThanOrEqual(1);
    await expectGradients(gradients, join(folder, "grads.safetensors"), "right_padded.");
  });
});

describe.each(goldenCases("lora").filter(({ name }) => name === "lora_all_linear"))("lora/$name on WebGPU", ({ folder }) => {
  for (const recompute of [false, true]) {
    it(`gives every gradient${recompute ? " with blocks recomputed" : ""}`, async () => {
      const { base_model, batches } = readJson<{ base_model: string; batches: Record<string, GoldenBatch> }>(folder, "reference.json");
      const model = await openModel(join(goldenFolder(), base_model));
      const adapter = await loadAdapter(folder, model);
      const { loss, gradients } = await lossAndGradients({ engine, model, adapter, recompute }, batches["plain"]!);
      expect(worstExcess([loss], [batches["plain"]!.loss], LOSS).excess).toBeLessThanOrEqual(1);
      await expectGradients(gradients, join(folder, "expected.safetensors"), "plain.grad.");
    });
  }
});

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenCases, goldenFolder, notCovered, readJson } from "../../test/golden.ts";
import type { GoldenBatch } from "../../test/golden-batch.ts";
import { expectGradients, expectTraining, type GoldenTraining, lossAndGradients } from "../../test/golden-learner.ts";
import { LOSS, worstExcess } from "../../test/tolerance.ts";
import { readSafetensorsHeader } from "../io/safetensors.ts";
import { full } from "../peft/full.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { newAdapter } from "../workbench/adapter.ts";
import { openModel } from "../workbench/open-model.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
});
afterAll(() => engine.close());

/** The base of a case, or what is missing to use it. */
function baseOf(modelName: string): { readonly folder: string; readonly missing: string | undefined } {
  const folder = join(goldenFolder(), "models", modelName);
  return { folder, missing: notCovered(folder) };
}

describe.each(goldenCases("full_grads"))("full_grads/$name", ({ name, folder }) => {
  const base = baseOf(name);
  for (const recompute of [false, true]) {
    it(`gives the gradient of every parameter${recompute ? " with blocks recomputed" : ""}`, async (context) => {
      if (base.missing !== undefined) return context.skip(`not covered: ${name}: ${base.missing}`);
      const model = await openModel(base.folder);
      const adapter = await newAdapter(full(model.inventory), model, 0);
      const file = join(folder, "grads.safetensors");
      const names = new Set([...(await readSafetensorsHeader(file)).entries.keys()].map((key) => key.slice(0, key.indexOf("."))));
      const { batches } = readJson<{ batches: Record<string, GoldenBatch> }>(base.folder, "reference.json");
      for (const batchName of names) {
        const { loss, gradients } = await lossAndGradients({ engine, model, adapter, recompute }, batches[batchName]!);
        expect(worstExcess([loss], [batches[batchName]!.loss], LOSS).excess).toBeLessThanOrEqual(1);
        await expectGradients(gradients, file, `${batchName}.`);
      }
    });
  }
});

describe.each(goldenCases("full_finetune"))("full_finetune/$name", ({ name, folder }) => {
  const base = baseOf(name);
  it("follows the reference's AdamW steps on all parameters", async (context) => {
    if (base.missing !== undefined) return context.skip(`not covered: ${name}: ${base.missing}`);
    const model = await openModel(base.folder);
    const adapter = await newAdapter(full(model.inventory), model, 0);
    await expectTraining({ engine, model, adapter }, readJson<GoldenTraining>(folder, "reference.json"), join(folder, "final_weights.safetensors"));
  });
});

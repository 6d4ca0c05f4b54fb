/** The loss curve of a pretraining run, from a text file through the whole pipeline, against transformers and PyTorch. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { goldenCases, readJson } from "../../test/golden.ts";
import { LOSS, TRAINED_WEIGHT, TRAINING_LOSS, TRAINING_NORM, worstExcess } from "../../test/tolerance.ts";
import { readRecipe } from "../base/options.ts";
import { readText } from "../io/folder.ts";
import { readSafetensorsHeader, readTensor } from "../io/safetensors.ts";
import type { TrainEvent } from "./events.ts";
import { pretrainPlatform } from "./node-platform.ts";
import { pretrain } from "./pretrain.ts";
import { PRETRAIN_OPTIONS } from "./pretrain-options.ts";
import { parseRecipe } from "./recipe.ts";

interface Reference {
  readonly bytes: number;
  readonly steps: readonly { readonly step: number; readonly loss: number; readonly lr: number; readonly grad_norm: number; readonly tokens: number }[];
  readonly validation: readonly { readonly step: number; readonly loss: number }[];
}

const scratch = mkdtempSync(join(tmpdir(), "pretrain-golden-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const cases = goldenCases("pretraining");
if (cases.length === 0) it("pretraining", (context) => context.skip("no case of this kind in the golden folder"));

describe.each(cases)("pretraining/$name", ({ name, folder }) => {
  it("follows the reference from the first weights to the last ones", async () => {
    const file = join(folder, "recipe.yaml");
    const recipe = readRecipe(PRETRAIN_OPTIONS, parseRecipe(await readText(file), file), file);
    const output = join(scratch, name);
    const events: TrainEvent[] = [];
    const run = pretrain({ ...recipe, data: recipe.data!.map((path) => join(folder, path)), output }, pretrainPlatform());
    for await (const event of run) events.push(event);
    const reference = readJson<Reference>(folder, "reference.json");

    const steps = events.filter((event) => event.type === "step");
    expect(steps.map(({ labelledTokens }) => labelledTokens)).toEqual(reference.steps.map(({ tokens }) => tokens));
    for (const [i, step] of steps.entries()) {
      const wanted = reference.steps[i]!;
      expect(
        worstExcess([step.loss], [wanted.loss], TRAINING_LOSS).excess,
        `step ${step.step} loss ${step.loss}, reference ${wanted.loss}`,
      ).toBeLessThanOrEqual(1);
      expect(worstExcess([step.gradientNorm], [wanted.grad_norm], TRAINING_NORM).excess, `step ${step.step} norm`).toBeLessThanOrEqual(1);
      expect(step.learningRate).toBeCloseTo(wanted.lr, 12);
    }
    const evaluations = events.filter((event) => event.type === "evaluation");
    expect(evaluations.map(({ step }) => step)).toEqual(reference.validation.map(({ step }) => step));
    for (const [i, { step, loss, labelledTokens, bitsPerByte }] of evaluations.entries()) {
      const wanted = reference.validation[i]!.loss;
      expect(
        worstExcess([loss], [wanted], step === 0 ? LOSS : TRAINING_LOSS).excess,
        `held-out loss after step ${step}: ${loss}, reference ${wanted}`,
      ).toBeLessThanOrEqual(1);
      expect(bitsPerByte).toBeCloseTo((loss * labelledTokens) / reference.bytes / Math.LN2, 12);
    }
    const trained = await readSafetensorsHeader(join(output, "model", "model.safetensors"));
    const { entries } = await readSafetensorsHeader(join(folder, "final_weights.safetensors"));
    expect([...trained.entries.keys()].toSorted()).toEqual([...entries.keys()].toSorted());
    for (const [tensor, entry] of entries) {
      const worst = worstExcess(await readTensor(trained.entries.get(tensor)!), await readTensor(entry), TRAINED_WEIGHT);
      expect(worst.excess, `${tensor}[${worst.index}]: ${worst.actual}, reference ${worst.expected}`).toBeLessThanOrEqual(1);
    }
  });
});

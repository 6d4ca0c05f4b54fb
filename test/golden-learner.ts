/** Runs golden training cases through the real learner and compares gradients, losses and final weights. */
import { expect } from "vitest";
import type { HostTensor } from "../src/core/dtype.ts";
import { readSafetensorsHeader, readTensor } from "../src/io/safetensors.ts";
import type { Engine } from "../src/runtime/engine.ts";
import { createLearner, type GraphLearner } from "../src/train/graph-learner.ts";
import type { AdamW } from "../src/train/step-graph.ts";
import type { LoadedAdapter } from "../src/workbench/adapter.ts";
import type { OpenModel } from "../src/workbench/open-model.ts";
import { type GoldenBatch, tokenRows, withVirtualTokens } from "./golden-batch.ts";
import { GRADIENT_OF_MAXIMUM, TRAINED_WEIGHT, TRAINING_LOSS, TRAINING_NORM, worstExcess, type Tolerance } from "./tolerance.ts";

export interface GoldenTraining {
  readonly hyperparameters: { readonly betas: readonly [number, number]; readonly eps: number; readonly weight_decay: number; readonly max_grad_norm: number };
  readonly batches: readonly Omit<GoldenBatch, "loss">[];
  readonly steps: readonly (
    | { readonly step: number; readonly lr: number; readonly loss: number; readonly grad_norm_before_clip: number }
    | { readonly step: "final"; readonly losses?: readonly number[] }
  )[];
}

/** Everything a case's learner is opened with but the hyperparameters. */
export interface LearnerSetup {
  readonly engine: Engine;
  readonly model: OpenModel;
  readonly adapter: LoadedAdapter;
  readonly recompute?: boolean;
  /** For gradient norms of training, where the kind of cases has its own. */
  readonly normTolerance?: Tolerance;
}

const NO_OPTIMIZER: AdamW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };

/** Loss and every gradient of one batch. */
export async function lossAndGradients(setup: LearnerSetup, batch: Omit<GoldenBatch, "loss">): Promise<{ loss: number; gradients: Map<string, HostTensor> }> {
  const learner = await createLearner({ ...setup, optimizer: NO_OPTIMIZER, maxGradNorm: 0, decay: "all" });
  const rows = tokenRows(withVirtualTokens(batch, setup.adapter.method, setup.model.architecture.vocabSize));
  const { lossSum } = await learner.accumulate(rows, 1 / rows.labelIds.length, 0);
  const gradients = await learner.gradients();
  await learner.close();
  return { loss: lossSum / rows.labelIds.length, gradients };
}

/** Compares gradients with those of a safetensors file under `prefix`; every gradient in the file must be there. */
export async function expectGradients(found: ReadonlyMap<string, HostTensor>, file: string, prefix: string): Promise<void> {
  const { entries } = await readSafetensorsHeader(file);
  const expected = [...entries].filter(([key]) => key.startsWith(prefix));
  expect(expected.length, `gradients under ${prefix}`).toBeGreaterThan(0);
  for (const [key, entry] of expected) {
    const reference = await readTensor(entry);
    const largest = reference.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const gradient = found.get(key.slice(prefix.length));
    expect(gradient, `no gradient for ${key}`).toBeDefined();
    const worst = worstExcess(gradient!.data, reference, { absolute: GRADIENT_OF_MAXIMUM * largest + 1e-12, relative: 0 });
    expect(worst.excess, `${key}[${worst.index}]: ${worst.actual}, reference ${worst.expected}, largest ${largest}`).toBeLessThanOrEqual(1);
  }
}

/** The reference's AdamW steps: each loss and gradient norm, then the final weights. */
export async function expectTraining(setup: LearnerSetup, training: GoldenTraining, finalWeights: string): Promise<void> {
  const { betas, eps, weight_decay, max_grad_norm } = training.hyperparameters;
  const learner: GraphLearner = await createLearner({
    ...setup,
    optimizer: { beta1: betas[0], beta2: betas[1], epsilon: eps, weightDecay: weight_decay },
    maxGradNorm: max_grad_norm,
    decay: "all",
  });
  for (const step of training.steps) {
    if (step.step === "final") continue;
    const batch = tokenRows(
      withVirtualTokens(training.batches[step.step % training.batches.length]!, setup.adapter.method, setup.model.architecture.vocabSize),
    );
    const { lossSum } = await learner.accumulate(batch, 1 / batch.labelIds.length, 0);
    const { gradientNorm } = await learner.update((step as { lr: number }).lr);
    const reference = step as { loss: number; grad_norm_before_clip: number };
    for (const [what, found, expected, tolerance] of [
      ["loss", lossSum / batch.labelIds.length, reference.loss, TRAINING_LOSS],
      ["gradient norm", gradientNorm, reference.grad_norm_before_clip, setup.normTolerance ?? TRAINING_NORM],
    ] as const) {
      expect(worstExcess([found], [expected], tolerance).excess, `step ${step.step} ${what}: ${found}, reference ${expected}`).toBeLessThanOrEqual(1);
    }
  }
  const { parameters } = await learner.save();
  await learner.close();
  const { entries } = await readSafetensorsHeader(finalWeights);
  for (const [name, entry] of entries) {
    const worst = worstExcess(parameters.get(name)!.data, await readTensor(entry), TRAINED_WEIGHT);
    expect(worst.excess, `${name}[${worst.index}]: ${worst.actual}, reference ${worst.expected}`).toBeLessThanOrEqual(1);
  }
}

/** Where the loop takes its micro-batches from: the same ones in the same order for the same epoch number, every time. */
import type { Batch } from "../data/batch.ts";

/** The micro-batches of one epoch. */
export interface EpochPlan {
  readonly length: number;
  /** UTF-8 bytes of the text that the labelled tokens spell, where they are known: what bits per byte are counted by. */
  readonly bytes?: number;
  /** Builds micro-batch `index` (0 … length − 1). */
  batch(index: number): Batch;
}

export interface BatchSource {
  epoch(number: number): EpochPlan;
}

/** Optimiser steps of an epoch: the last one may have fewer micro-batches than the others. */
export function stepsOf(plan: EpochPlan, gradientAccumulation: number): number {
  return Math.ceil(plan.length / gradientAccumulation);
}

/** Optimiser steps of `epochs` epochs; a fraction of an epoch counts its steps rounded up. */
export function totalStepsOf(source: BatchSource, epochs: number, gradientAccumulation: number): number {
  let steps = 0;
  for (let number = 0; number < epochs; number++) {
    steps += Math.ceil(stepsOf(source.epoch(number), gradientAccumulation) * Math.min(1, epochs - number));
  }
  return steps;
}

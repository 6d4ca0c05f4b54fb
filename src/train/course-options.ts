/** The options that every training run has, whatever it trains: optimiser, evaluation, checkpoints, machine. */
import { GiantError } from "../base/errors.ts";
import type { OptionTable } from "../base/options.ts";
import { SCHEDULE_NAMES, type ScheduleName } from "./schedule.ts";

export interface CourseOptions {
  readonly learningRate: number;
  /** Sequences per micro-batch. */
  readonly batchSize: number;
  readonly gradientAccumulation: number;
  readonly epochs: number;
  readonly maxSteps?: number;
  readonly schedule: ScheduleName;
  readonly warmupSteps?: number;
  readonly warmupRatio: number;
  readonly weightDecay: number;
  readonly maxGradNorm: number;
  readonly adamBeta1: number;
  readonly adamBeta2: number;
  readonly adamEpsilon: number;

  readonly evalSteps: number;
  readonly earlyStoppingPatience: number;
  readonly loadBest: boolean;
  readonly saveSteps: number;
  readonly saveTotalLimit: number;
  readonly samples: number;
  readonly sampleTokens: number;
  readonly resume: boolean;

  readonly device: "auto" | "cpu" | "webgpu" | "cuda";
  readonly threads?: number;
  readonly recompute: boolean;
  readonly memoryLimit?: number;
}

const OPTIMISER = "Optimiser";
const COURSE = "Evaluation and checkpoints";
export const MACHINE = "Machine";

export const COURSE_OPTIONS: OptionTable<CourseOptions> = {
  learningRate: { group: OPTIMISER, type: "number", minimum: 0, help: "highest learning rate" },
  batchSize: { group: OPTIMISER, type: "integer", minimum: 1, default: 4, help: "sequences per micro-batch" },
  gradientAccumulation: { group: OPTIMISER, type: "integer", minimum: 1, default: 1, help: "micro-batches per optimiser step" },
  epochs: { group: OPTIMISER, type: "number", minimum: 0, above: true, default: 1, help: "times the data is gone through" },
  maxSteps: { group: OPTIMISER, type: "integer", minimum: 1, help: "optimiser steps, in place of epochs" },
  schedule: { group: OPTIMISER, type: "enum", choices: SCHEDULE_NAMES, default: "cosine", help: "course of the learning rate" },
  warmupSteps: { group: OPTIMISER, type: "integer", minimum: 0, help: "steps in which the learning rate rises from 0, in place of the ratio" },
  warmupRatio: { group: OPTIMISER, type: "number", minimum: 0, maximum: 1, default: 0, help: "part of the run in which the learning rate rises from 0" },
  weightDecay: { group: OPTIMISER, type: "number", minimum: 0, default: 0, help: "AdamW's decoupled weight decay" },
  maxGradNorm: { group: OPTIMISER, type: "number", minimum: 0, default: 1, help: "gradients are scaled down to this norm; 0 leaves them" },
  adamBeta1: { group: OPTIMISER, type: "number", minimum: 0, maximum: 0.9999999, default: 0.9, help: "AdamW's memory of gradients" },
  adamBeta2: { group: OPTIMISER, type: "number", minimum: 0, maximum: 0.9999999, default: 0.999, help: "AdamW's memory of squared gradients" },
  adamEpsilon: { group: OPTIMISER, type: "number", minimum: 0, above: true, default: 1e-8, help: "AdamW's epsilon" },

  evalSteps: { group: COURSE, type: "integer", minimum: 0, default: 100, help: "optimiser steps between evaluations; 0 evaluates before and after only" },
  earlyStoppingPatience: {
    group: COURSE,
    type: "integer",
    minimum: 0,
    default: 0,
    help: "stop after this many evaluations without a better one; 0 never stops early",
  },
  loadBest: { group: COURSE, type: "boolean", default: true, help: "keep the weights of the best evaluation rather than the last ones" },
  saveSteps: { group: COURSE, type: "integer", minimum: 0, default: 100, help: "optimiser steps between checkpoints; 0 saves at the end, and when stopped" },
  saveTotalLimit: { group: COURSE, type: "integer", minimum: 0, default: 2, help: "checkpoints that are kept beside the best one; 0 keeps all" },
  samples: { group: COURSE, type: "integer", minimum: 0, default: 3, help: "held-out prompts that are answered before and after" },
  sampleTokens: { group: COURSE, type: "integer", minimum: 1, default: 48, unit: "tokens", help: "longest such answer" },
  resume: { group: COURSE, type: "boolean", default: false, inRecipe: false, help: "go on with the run in --output from its last checkpoint" },

  device: { group: MACHINE, type: "enum", choices: ["auto", "cpu", "webgpu", "cuda"], default: "auto", help: "where to compute" },
  threads: { group: MACHINE, type: "integer", minimum: 1, defaultText: "physical cores", help: "threads of one operator on the CPU" },
  recompute: { group: MACHINE, type: "boolean", default: false, help: "recompute each block in the backward pass: less memory, about a third more time" },
  memoryLimit: { group: MACHINE, type: "bytes", inRecipe: false, defaultText: "what is available", help: "memory the run may use" },
};

/** Checks a run's options against each other. */
export function checkCourse(options: CourseOptions, measures: boolean): void {
  if (options.earlyStoppingPatience > 0 && options.evalSteps === 0) {
    throw new GiantError("usage", "--early-stopping-patience: needs evaluations on the way, found --eval-steps 0", { hint: "Set --eval-steps." });
  }
  if (options.earlyStoppingPatience > 0 && !measures) {
    throw new GiantError("usage", "--early-stopping-patience: needs held-out examples, found --validation 0", { hint: "Set --validation." });
  }
}

/** What a run needs from the rooms around it: something opened from files that learns and answers. */
import type { BatchSource, EpochPlan } from "./batch-source.ts";
import type { DataSummary, TrainEvent } from "./events.ts";
import type { Learner } from "./learner.ts";
import type { MemoryPlan } from "../plan/memory-check.ts";

/** A prompt, with the answer its example has where it is a held-out one. */
export interface SamplePrompt {
  readonly prompt: string;
  readonly reference?: string;
}

/** A model with its data, ready to be trained; opened without loading weights, so that a refusal comes early. */
export interface RunSubject {
  readonly device: string;
  readonly threads: number;
  readonly memory: MemoryPlan;
  /** Time that adding up gradients and updating takes, as a part of that of the micro-steps; nothing where it is absent. */
  readonly updateShare?: number;
  readonly train: BatchSource;
  readonly validation?: EpochPlan;
  readonly trainSummary: DataSummary;
  readonly validationSummary: DataSummary | null;
  readonly prompts: readonly SamplePrompt[];
  /** Optimiser steps in all, where the subject decides them; otherwise the epochs do. */
  readonly totalSteps?: number;
  /** Optimiser steps between answers on the way; none where it is absent. */
  readonly sampleSteps?: number;
  /** Fingerprints of what the run reads (base weights, tokenizer, data): a resumed run must find the same. */
  readonly fingerprints: Readonly<Record<string, string>>;
  readonly warnings: readonly { readonly message: string; readonly hint?: string }[];
  /** `adapter` or `model`: the name of the result's folder. */
  readonly resultName: string;
  /** Puts into the new or resumed run's folder what the subject needs when the run is resumed, unless it is there. */
  prepare?(folder: string): Promise<void>;
  /** Called once; the learner lives as long as the subject. */
  createLearner(): Promise<Learner>;
  /** Answers some of `prompts` greedily with the weights the learner has now. */
  answer(prompts: readonly SamplePrompt[], maxTokens: number): Promise<string[]>;
  /** Writes the learner's weights as they are now into a folder, at once or not at all. */
  writeResult(folder: string): Promise<void>;
  close(): Promise<void>;
}

/** What a run needs from the machine. */
export interface RunPlatform<O> extends Machine {
  /** Opens what the run works on; where that takes long, it says meanwhile what it is at. */
  open(options: O): Promise<RunSubject> | AsyncGenerator<TrainEvent, RunSubject>;
}

/** Clocks and memory. */
export interface Machine {
  /** Milliseconds of a clock that never goes back. */
  clock(): number;
  /** Seconds, Unix. */
  now(): number;
  /** Bytes that this process may hold in all: what it has, and what is free. */
  availableMemory(): number;
  /** The most bytes this process has held so far. */
  peakMemory(): number;
}

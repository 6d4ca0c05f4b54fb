/** Everything a run says, as one closed union: the terminal, the run folder, the report and the tests read the same stream. */
import type { MemoryParts } from "../plan/memory-parts.ts";

/** What was read from the data files and what became of it. */
export interface DataSummary {
  readonly file: string;
  readonly format: string;
  readonly examples: number;
  readonly tokens: number;
  readonly labelledTokens: number;
  /** Examples that were longer than the maximum length, by what was done with them. */
  readonly truncated: number;
  readonly dropped: number;
  /** Examples without a single trained-on token: left out. */
  readonly unlabelled: number;
}

/** A prompt with the answers before and after training. */
export interface SamplePair {
  readonly prompt: string;
  readonly reference: string | null;
  readonly before: string | null;
  readonly after: string | null;
}

/** A prompt with what the model answered and, where known, what it should have answered. */
export interface Sample {
  readonly prompt: string;
  readonly answer: string;
  readonly reference?: string;
}

export type TrainEvent =
  /** Work before the run begins; `done` is the part of it that is done, 0 to 1. Not recorded: there is no run folder yet. */
  | { readonly type: "preparing"; readonly work: string; readonly done: number }
  | {
      readonly type: "started";
      readonly model: string;
      readonly data: string;
      readonly method: string;
      readonly device: string;
      readonly threads: number;
      readonly seed: number;
      readonly trainableParameters: number;
      readonly totalParameters: number;
      readonly totalSteps: number;
      readonly epochs: number;
    }
  | {
      readonly type: "resumed";
      readonly step: number;
      readonly checkpoint: string;
      readonly model: string;
      readonly method: string;
      readonly totalSteps: number;
    }
  | { readonly type: "data"; readonly train: DataSummary; readonly validation: DataSummary | null }
  | {
      readonly type: "forecast";
      readonly peakBytes: number;
      readonly availableBytes: number;
      readonly parts: MemoryParts;
      /** Measured on one micro-step. */
      readonly microStepSeconds: number;
      /** Of whole optimiser steps: micro-steps and their update. */
      readonly tokensPerSecond: number;
      /** Of all optimiser steps; evaluations, answers and checkpoints come on top. */
      readonly totalSeconds: number;
    }
  | {
      readonly type: "step";
      /** Updates done, this one included. */
      readonly step: number;
      /** Epochs done, with a fraction. */
      readonly epoch: number;
      /** Mean loss over the labelled tokens of the step, nats. */
      readonly loss: number;
      readonly learningRate: number;
      /** Before clipping. */
      readonly gradientNorm: number;
      readonly tokens: number;
      readonly labelledTokens: number;
      readonly seconds: number;
      readonly tokensPerSecond: number;
    }
  | {
      readonly type: "evaluation";
      /** 0 is before training. */
      readonly step: number;
      readonly epoch: number;
      /** Nats per labelled token. */
      readonly loss: number;
      readonly perplexity: number;
      readonly labelledTokens: number;
      /** The same loss per byte of the held-out text, in bits; where the text's bytes are known. */
      readonly bitsPerByte?: number;
      readonly seconds: number;
      readonly best: boolean;
    }
  | { readonly type: "checkpoint"; readonly step: number; readonly folder: string }
  | { readonly type: "samples"; readonly when: "before" | "during" | "after"; readonly step: number; readonly samples: readonly Sample[] }
  | { readonly type: "warning"; readonly message: string; readonly hint?: string }
  | { readonly type: "stopped"; readonly step: number; readonly checkpoint: string }
  | {
      readonly type: "finished";
      readonly step: number;
      readonly reason: FinishReason;
      /** The step whose weights were kept: the best one, or the last. */
      readonly keptStep: number;
      readonly seconds: number;
      readonly model: string;
      readonly folder: string;
      /** The adapter's folder, or the tuned model's. */
      readonly result: string;
      readonly report: string;
      readonly lossBefore: number | null;
      readonly lossAfter: number | null;
      readonly bitsPerByteBefore: number | null;
      readonly bitsPerByteAfter: number | null;
      readonly samples: readonly SamplePair[];
      readonly forecastBytes: number | null;
      readonly peakBytes: number;
      /** Of the steps that were done; null where nothing was forecast. */
      readonly forecastSeconds: number | null;
      readonly forecastTokensPerSecond: number | null;
      readonly tokensPerSecond: number;
    };

/** All steps done, or stopped early because evaluations no longer gained. */
export type FinishReason = "complete" | "patience";

/** An event as `events.jsonl` holds it: with the second (Unix time) in which it happened. */
export type RecordedEvent = TrainEvent & { readonly time: number };

/** The training step an event belongs to; events that frame the run belong to step 0. */
export function stepOf(event: TrainEvent): number {
  return "step" in event ? event.step : 0;
}

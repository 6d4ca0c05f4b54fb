/** What a comparison of methods finds: one row per method, gathered from the runs' own reports. */
import type { RecordedEvent, SamplePair } from "./events.ts";
import type { Report } from "./report.ts";

/** One method's run. */
export interface ComparisonRow {
  readonly method: string;
  /** The run's folder, relative to the comparison's. */
  readonly folder: string;
  readonly learningRate: number;
  readonly trainableParameters: number;
  readonly totalParameters: number;
  /** Bytes of the adapter's weights, or of the tuned model's. */
  readonly resultBytes: number;
  /** Most resident memory of the run's process. */
  readonly peakBytes: number;
  readonly tokensPerSecond: number;
  /** Of the optimiser steps alone. */
  readonly seconds: number;
  readonly steps: number;
  readonly keptStep: number;
  /** Held-out loss in nats per token; null where nothing was held out. */
  readonly lossBefore: number | null;
  readonly lossAfter: number | null;
  /** Held-out loss by step. */
  readonly curve: readonly (readonly [step: number, loss: number])[];
  readonly samples: readonly SamplePair[];
}

/** A method whose run failed, with what it said. */
export interface FailedRow {
  readonly method: string;
  readonly error: string;
  readonly hint?: string;
}

/** `comparison.json`. */
export interface Comparison {
  readonly format: 1;
  readonly model: string;
  readonly data: string;
  readonly seed: number;
  /** The budget that every method had. */
  readonly budget: {
    readonly steps: number;
    readonly epochs: number;
    readonly batchSize: number;
    readonly gradientAccumulation: number;
    readonly examples: number;
    readonly labelledTokens: number;
    readonly heldOutExamples: number;
    readonly heldOutTokens: number;
  };
  readonly machine: { readonly processor: string; readonly threads: number; readonly device: string };
  readonly rows: readonly ComparisonRow[];
  readonly failed: readonly FailedRow[];
}

/** The row of a finished run. */
export function comparisonRow(
  report: Report,
  events: readonly RecordedEvent[],
  own: Pick<ComparisonRow, "method" | "folder" | "learningRate" | "resultBytes">,
): ComparisonRow {
  const { validation, training, memory } = report;
  return {
    ...own,
    trainableParameters: report.trainableParameters,
    totalParameters: report.totalParameters,
    peakBytes: memory.peakBytes,
    tokensPerSecond: training.tokensPerSecond,
    seconds: training.seconds,
    steps: training.steps,
    keptStep: training.keptStep,
    lossBefore: validation.before?.loss ?? null,
    lossAfter: validation.after?.loss ?? null,
    curve: events.flatMap((event) => (event.type === "evaluation" ? [[event.step, event.loss] as const] : [])),
    samples: report.samples,
  };
}

/** Rows from the lowest held-out loss to the highest; those without one keep their order at the end. */
export function ranked(rows: readonly ComparisonRow[]): ComparisonRow[] {
  return rows.toSorted((a, b) => (a.lossAfter ?? Infinity) - (b.lossAfter ?? Infinity) || 0);
}

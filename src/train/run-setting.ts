/** The setting of a run of which only sizes are known: no data has been read, every row is full. */
import type { AdaptationMethod } from "../peft/method.ts";
import { resolveOptions } from "../base/options.ts";
import { METHOD_OPTIONS } from "./methods/method-options.ts";
import { type MethodBase, type MethodName, tuningMethod } from "./methods/tuning-methods.ts";
import type { BatchSize, RunSetting } from "./run-programs.ts";

/** Sizes of a run that is thought of. */
export interface RunSizes {
  readonly batchSize: number;
  readonly maxLength: number;
  readonly gradientAccumulation: number;
  readonly recompute: boolean;
  readonly packWeights: boolean;
  /** Part of the tokens that count in the loss. */
  readonly labelled: number;
  readonly loraDropout: number;
  readonly maxGradNorm: number;
  /** Whether held-out examples are evaluated, in batches of the same size. */
  readonly validation: boolean;
  /** Prompts that are answered before and after, and the tokens of an answer. */
  readonly samples: number;
  readonly sampleTokens: number;
}

/** The method as it is tuned by default, but for the rank of its low-rank terms. */
export function plannedMethod(name: MethodName, rank: number, base: MethodBase): AdaptationMethod {
  return tuningMethod(name).make({ ...resolveOptions(METHOD_OPTIONS), rank, loraAlpha: 2 * rank }, base);
}

/** The setting of a run with full rows; questions are taken to be half as long as rows. */
export function settingOf(method: AdaptationMethod, sizes: RunSizes): RunSetting {
  const { batchSize: rows, maxLength, samples, sampleTokens } = sizes;
  const length = maxLength + (method.virtualTokens ?? 0);
  // The label of a place is the next token, so the last place of a row has none.
  const controls = method.controlLength ?? 0;
  const batch: BatchSize = { rows, length, controls, labels: rows * Math.max(1, Math.min(length - 1, Math.round(maxLength * sizes.labelled))) };
  return {
    method,
    batch,
    longestRow: length,
    recompute: sizes.recompute,
    packs: sizes.packWeights,
    dropout: method.name === "lora" && sizes.loraDropout > 0,
    accumulation: sizes.gradientAccumulation,
    maxGradNorm: sizes.maxGradNorm,
    ...(sizes.validation && { validation: batch }),
    ...(samples > 0 && { answers: { rows: samples, promptTokens: Math.ceil(length / 2), newTokens: sampleTokens, controlTokens: controls } }),
  };
}

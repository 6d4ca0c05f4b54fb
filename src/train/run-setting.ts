/** The setting of a run of which only sizes are known: no data has been read, every row is full. */
import type { Architecture } from "../models/architecture.ts";
import type { Inventory } from "../nn/inventory.ts";
import { full } from "../peft/full.ts";
import { lora } from "../peft/lora.ts";
import { LORA_DEFAULTS } from "../peft/lora-config.ts";
import type { AdaptationMethod } from "../peft/method.ts";
import type { BatchSize, RunSetting } from "./run-programs.ts";

/** Methods that a plan knows. A further one gives its tensors and its context; its figures follow from its graphs. */
export const PLANNED_METHODS = ["lora", "full"] as const;
export type PlannedMethod = (typeof PLANNED_METHODS)[number];

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

/** The method's tensors and terms for one model; `rank` is LoRA's. */
export function plannedMethod(name: PlannedMethod, rank: number, inventory: Inventory, head: Architecture["head"]): AdaptationMethod {
  return name === "full" ? full(inventory) : lora({ ...LORA_DEFAULTS, r: rank, loraAlpha: 2 * rank }, inventory, head);
}

/** The setting of a run with full rows; questions are taken to be half as long as rows. */
export function settingOf(method: AdaptationMethod, sizes: RunSizes): RunSetting {
  const { batchSize: rows, maxLength: length, samples, sampleTokens } = sizes;
  // The label of a place is the next token, so the last place of a row has none.
  const batch: BatchSize = { rows, length, labels: rows * Math.max(1, Math.min(length - 1, Math.round(length * sizes.labelled))) };
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
    ...(samples > 0 && { answers: { rows: samples, promptTokens: Math.ceil(length / 2), newTokens: sampleTokens } }),
  };
}

/** The options of planning a run: what it would train, on which sizes, on which machine. */
import type { OptionTable } from "../base/options.ts";
import { METHOD_NAMES, type MethodName } from "../train/methods/tuning-methods.ts";

export interface PlanRunOptions {
  readonly model?: string;
  readonly method: MethodName | "all";
  readonly pretrain: boolean;
  readonly rank: number;
  readonly batchSize: number;
  readonly maxLength?: number;
  readonly gradientAccumulation: number;
  readonly recompute: boolean;
  readonly packWeights: boolean;
  readonly precision: "stored" | "f32" | "f16" | "bf16";
  readonly labelled: number;
  readonly data?: string;
  readonly packing: boolean;
  readonly epochs: number;
  readonly inference: boolean;
  readonly context?: number;
  readonly accuracy: boolean;
  readonly runs: readonly string[];
  readonly device: "auto" | "cpu" | "webgpu" | "cuda";
  readonly threads?: number;
  readonly memoryLimit?: number;
}

const RUN = "Run (--model)";
const INFERENCE = "Inference (--model with --inference)";
const ACCURACY = "Accuracy of forecasts";
const MACHINE = "Machine";

export const PLAN_RUN_OPTIONS: OptionTable<PlanRunOptions> = {
  model: { group: RUN, type: "path", placeholder: "DIR|FILE", help: "folder of a model, or a config.json alone: the weights are not needed" },
  method: { group: RUN, type: "enum", choices: [...METHOD_NAMES, "all"], default: "lora", help: "how it would be tuned; all compares" },
  pretrain: { group: RUN, type: "boolean", default: false, help: "plan pretraining: all weights, every token counts" },
  rank: { group: RUN, type: "integer", minimum: 1, default: 16, aliases: ["r"], help: "rank of LoRA's terms" },
  batchSize: { group: RUN, type: "integer", minimum: 1, default: 4, help: "sequences per micro-batch" },
  maxLength: {
    group: RUN,
    type: "integer",
    minimum: 2,
    unit: "tokens",
    defaultText: "512, or the model's context where that is shorter",
    help: "length of a row",
  },
  gradientAccumulation: { group: RUN, type: "integer", minimum: 1, default: 1, help: "micro-batches per optimiser step" },
  recompute: { group: RUN, type: "boolean", default: false, help: "recompute each block in the backward pass" },
  packWeights: { group: RUN, type: "boolean", default: true, help: "keep float32 weights a second time in packed order, as tune does" },
  precision: {
    group: RUN,
    type: "enum",
    choices: ["stored", "f32", "f16", "bf16"],
    default: "stored",
    help: "element type of frozen weights; stored is the files' own",
  },
  labelled: { group: RUN, type: "number", minimum: 0, maximum: 1, above: true, default: 1, help: "part of the tokens that count in the loss" },
  data: { group: RUN, type: "path", placeholder: "FILE", help: "examples whose tokens are counted, for the time of a whole run" },
  packing: { group: RUN, type: "boolean", default: false, help: "several of these examples in one row" },
  epochs: { group: RUN, type: "number", minimum: 0, above: true, default: 1, help: "times these examples are gone through" },
  inference: { group: INFERENCE, type: "boolean", default: false, help: "plan writing in place of training: memory and speed by number format" },
  context: { group: INFERENCE, type: "integer", minimum: 2, unit: "tokens", defaultText: "2048, or the model's context", help: "longest text" },
  accuracy: { group: ACCURACY, type: "boolean", default: false, help: "compare the forecasts of earlier runs with what they were" },
  runs: { group: ACCURACY, type: "list", placeholder: "DIR", default: ["runs"], help: "folders of these runs, or folders that hold them" },
  device: { group: MACHINE, type: "enum", choices: ["auto", "cpu", "webgpu", "cuda"], default: "auto", help: "where to compute" },
  threads: { group: MACHINE, type: "integer", minimum: 1, defaultText: "physical cores", help: "threads of one operator on the CPU" },
  memoryLimit: { group: MACHINE, type: "bytes", defaultText: "what is available", help: "memory the run may use" },
};

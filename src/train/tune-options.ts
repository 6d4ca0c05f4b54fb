/** The options of a tuning run: the one source of its flags, recipe keys, help and defaults. */
import { resolve } from "node:path";
import { GiantError } from "../base/errors.ts";
import { resolveOptions, type OptionTable } from "../base/options.ts";
import { SCHEDULE_NAMES, type ScheduleName } from "./schedule.ts";

export interface TuneOptions {
  readonly model: string;
  readonly data: string;
  readonly format: string;
  /** A file, or a fraction as text; "0" for none. */
  readonly validation: string;
  readonly method: "lora" | "full";
  readonly output: string;
  readonly seed: number;

  readonly rank: number;
  readonly loraAlpha: number;
  readonly loraDropout: number;
  readonly targetModules: readonly string[];
  readonly useRslora: boolean;
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  readonly modulesToSave: readonly string[];
  readonly bias: "none" | "all" | "lora_only";

  readonly maxLength?: number;
  readonly packing: boolean;
  readonly trainOn: "answers" | "all";
  readonly longExamples: "drop" | "truncate" | "error";

  readonly learningRate: number;
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
  readonly packWeights: boolean;
  readonly memoryLimit?: number;
}

const INPUT = "Input and output";
const LORA = "LoRA";
const SEQUENCES = "Sequences";
const OPTIMISER = "Optimiser";
const COURSE = "Evaluation and checkpoints";
const MACHINE = "Machine";

export const TUNE_OPTIONS: OptionTable<TuneOptions> = {
  model: { group: INPUT, type: "path", placeholder: "DIR", required: true, help: "folder of the base model, in Hugging Face's layout" },
  data: {
    group: INPUT,
    type: "path",
    placeholder: "FILE",
    required: true,
    help: "training examples: Alpaca JSON or JSONL, messages JSONL, prompt/completion JSONL, or plain text",
  },
  format: { group: INPUT, type: "string", placeholder: "NAME", default: "auto", help: "format of the examples; auto looks at the first ones" },
  validation: {
    group: INPUT,
    type: "string",
    placeholder: "FILE|FRACTION",
    default: "0.1",
    help: "examples held out to measure before and after: a file, or the fraction of the data that is set aside; 0 for none",
  },
  method: { group: INPUT, type: "enum", choices: ["lora", "full"], default: "lora", help: "how the model is tuned" },
  output: { group: INPUT, type: "path", placeholder: "DIR", required: true, inRecipe: false, help: "folder of the run; with --resume the run to go on with" },
  seed: { group: INPUT, type: "integer", minimum: 0, maximum: 4294967295, default: 42, help: "decides every random choice of the run" },

  rank: { group: LORA, type: "integer", minimum: 1, default: 16, aliases: ["r"], help: "rank of the low-rank terms" },
  loraAlpha: { group: LORA, type: "number", minimum: 0, above: true, default: 32, help: "scale of the low-rank terms; they are multiplied by alpha / rank" },
  loraDropout: {
    group: LORA,
    type: "number",
    minimum: 0,
    maximum: 0.99,
    default: 0,
    help: "part of the inputs of the low-rank terms that is left out at random",
  },
  targetModules: {
    group: LORA,
    type: "list",
    commas: "unlessPattern",
    default: ["all-linear"],
    help: "layers that get a low-rank term: names, a regular expression over full names, or all-linear",
  },
  useRslora: { group: LORA, type: "boolean", default: false, help: "multiply by alpha / √rank instead" },
  rankPattern: { group: LORA, type: "map", default: {}, help: "rank of layers whose name matches, where it differs" },
  alphaPattern: { group: LORA, type: "map", default: {}, help: "alpha of layers whose name matches, where it differs" },
  modulesToSave: { group: LORA, type: "list", default: [], help: "further layers that are trained and saved whole" },
  bias: { group: LORA, type: "enum", choices: ["none", "all", "lora_only"], default: "none", help: "biases that are trained" },

  maxLength: {
    group: SEQUENCES,
    type: "integer",
    minimum: 2,
    unit: "tokens",
    defaultText: "512, or the model's context where that is shorter",
    help: "longest sequence",
  },
  packing: { group: SEQUENCES, type: "boolean", default: false, help: "put several examples into one sequence, kept apart by masks" },
  trainOn: { group: SEQUENCES, type: "enum", choices: ["answers", "all"], default: "answers", help: "tokens that count in the loss" },
  longExamples: {
    group: SEQUENCES,
    type: "enum",
    choices: ["drop", "truncate", "error"],
    default: "truncate",
    help: "what becomes of examples longer than the longest sequence",
  },

  learningRate: { group: OPTIMISER, type: "number", minimum: 0, defaultText: "0.0002 for lora, 0.00002 for full", help: "highest learning rate" },
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
  packWeights: {
    group: MACHINE,
    type: "boolean",
    default: true,
    help: "keep float32 weights a second time in the order the CPU multiplies them in: a few percent faster; never done with --recompute",
  },
  memoryLimit: { group: MACHINE, type: "bytes", inRecipe: false, defaultText: "what is available", help: "memory the run may use" },
};

/** Fills in the defaults, including those that hang on other options, makes paths absolute and checks options against each other. */
export function resolveTuneOptions(...layers: readonly Partial<TuneOptions>[]): TuneOptions {
  const options = resolveOptions(TUNE_OPTIONS, ...layers);
  const learningRate = layers.findLast((layer) => layer.learningRate !== undefined)?.learningRate ?? (options.method === "full" ? 2e-5 : 2e-4);
  if (options.earlyStoppingPatience > 0 && options.evalSteps === 0) {
    throw new GiantError("usage", "--early-stopping-patience: needs evaluations on the way, found --eval-steps 0", { hint: "Set --eval-steps." });
  }
  if (options.earlyStoppingPatience > 0 && validationOf(options).kind === "none") {
    throw new GiantError("usage", "--early-stopping-patience: needs held-out examples, found --validation 0", { hint: "Set --validation." });
  }
  return { ...options, learningRate, ...absolutePaths(options) };
}

/** The held-out examples an option value asks for. */
export function validationOf(options: {
  readonly validation: string;
}): { kind: "none" } | { kind: "fraction"; fraction: number } | { kind: "file"; path: string } {
  const number = Number(options.validation);
  if (Number.isNaN(number)) return { kind: "file", path: options.validation };
  if (number === 0) return { kind: "none" };
  if (number > 0 && number < 1) return { kind: "fraction", fraction: number };
  throw new GiantError("usage", `--validation: ${options.validation} is neither a file nor a fraction between 0 and 1`);
}

/** The paths among given options, made absolute: a recipe means the same files wherever it is run from. */
export function absolutePaths(options: Partial<TuneOptions>): Partial<TuneOptions> {
  const paths: Record<string, string> = {};
  for (const name of ["model", "data", "output"] as const) if (options[name] !== undefined) paths[name] = resolve(options[name]);
  if (options.validation !== undefined && validationOf({ validation: options.validation }).kind === "file") paths["validation"] = resolve(options.validation);
  return paths;
}

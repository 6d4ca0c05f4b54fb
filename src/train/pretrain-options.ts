/** The options of a pretraining run: the one source of its flags, recipe keys, help and defaults. */
import { resolve } from "node:path";
import { GiantError } from "../base/errors.ts";
import { resolveOptions, type OptionTable } from "../base/options.ts";
import { PRESETS } from "../models/presets.ts";
import { checkCourse, COURSE_OPTIONS, type CourseOptions } from "./course-options.ts";
import { validationOf } from "./validation-option.ts";

export interface PretrainOptions extends CourseOptions {
  readonly data: readonly string[];
  /** Times a file is gone through in each epoch, by its name; 1 where it is not named. */
  readonly repeat: Readonly<Record<string, number>>;
  readonly validation: string;
  readonly validationTokens: number;
  readonly output: string;
  readonly seed: number;

  readonly preset: string;
  readonly hiddenSize?: number;
  readonly intermediateSize?: number;
  readonly numHiddenLayers?: number;
  readonly numAttentionHeads?: number;
  readonly numKeyValueHeads?: number;
  readonly tieWordEmbeddings: boolean;
  readonly contextLength: number;
  readonly init?: string;

  readonly vocabSize: number;
  readonly splitDigits: boolean;
  readonly tokenizer?: string;

  readonly tokens?: number;
  readonly sampleSteps: number;
  readonly samplePrompts: readonly string[];
  readonly weightDtype: "float32" | "bfloat16" | "float16";
}

const INPUT = "Input and output";
const SHAPE = "Model";
const TOKENIZER = "Tokenizer";

/** Option by option; where pretraining differs from tuning, what LLaMA and its small successors use is the default. */
export const PRETRAIN_OPTIONS: OptionTable<PretrainOptions> = {
  data: {
    group: INPUT,
    type: "list",
    commas: "kept",
    placeholder: "FILE",
    required: true,
    help: "text to learn from: .txt with documents ended by lines <|endoftext|>, .jsonl with a text field, .json; may be given several times",
  },
  repeat: { group: INPUT, type: "map", default: {}, help: "times a file is gone through in an epoch, by its name, such as stories.txt=3" },
  validation: {
    group: INPUT,
    type: "string",
    placeholder: "FILE|FRACTION",
    default: "0.05",
    help: "documents held out to measure on: a file, or the fraction that is set aside by a hash of each document; 0 for none",
  },
  validationTokens: {
    group: INPUT,
    type: "integer",
    minimum: 1,
    default: 100000,
    unit: "tokens",
    help: "most tokens of the held-out documents that one evaluation reads; the rest stays held out",
  },
  output: { group: INPUT, type: "path", placeholder: "DIR", required: true, inRecipe: false, help: "folder of the run; with --resume the run to go on with" },
  seed: { group: INPUT, type: "integer", minimum: 0, maximum: 4294967295, default: 42, help: "decides every random choice of the run" },

  preset: {
    group: SHAPE,
    type: "enum",
    choices: Object.keys(PRESETS),
    default: "3M",
    help: "shape of the model, by its parameters: up to 8M with a vocabulary of 4096 tokens, 15M to 110M with 32,000, above with 49,152",
  },
  hiddenSize: { group: SHAPE, type: "integer", minimum: 2, defaultText: "the preset's", help: "width of the stream" },
  intermediateSize: { group: SHAPE, type: "integer", minimum: 1, defaultText: "the preset's", help: "width inside the MLP" },
  numHiddenLayers: { group: SHAPE, type: "integer", minimum: 1, defaultText: "the preset's", help: "layers" },
  numAttentionHeads: { group: SHAPE, type: "integer", minimum: 1, defaultText: "the preset's", help: "heads of queries" },
  numKeyValueHeads: { group: SHAPE, type: "integer", minimum: 1, defaultText: "the preset's", help: "heads of keys and values" },
  tieWordEmbeddings: { group: SHAPE, type: "boolean", default: true, help: "use the embedding as the head too" },
  contextLength: { group: SHAPE, type: "integer", minimum: 8, default: 512, unit: "tokens", help: "longest sequence the model learns" },
  init: {
    group: SHAPE,
    type: "path",
    placeholder: "DIR",
    help: "go on with the weights and the tokenizer of a model, or of the last checkpoint of a pretraining run, instead of new ones",
  },

  vocabSize: { group: TOKENIZER, type: "integer", minimum: 1, default: 4096, unit: "tokens", help: "vocabulary that is learnt from the text" },
  splitDigits: { group: TOKENIZER, type: "boolean", default: true, help: "one token per digit, so that numbers are spelt alike" },
  tokenizer: { group: TOKENIZER, type: "path", placeholder: "DIR", help: "use the tokenizer of this folder instead of learning one" },

  ...COURSE_OPTIONS,
  learningRate: { ...COURSE_OPTIONS.learningRate, default: 2e-3 },
  batchSize: { ...COURSE_OPTIONS.batchSize, default: 8 },
  tokens: {
    group: COURSE_OPTIONS.epochs.group,
    type: "count",
    help: "tokens to train on, such as 15M, in place of epochs; --max-steps comes before both",
  },
  warmupRatio: { ...COURSE_OPTIONS.warmupRatio, default: 0.02 },
  weightDecay: { ...COURSE_OPTIONS.weightDecay, default: 0.1, help: "AdamW's decoupled weight decay, on matrices only" },
  adamBeta2: { ...COURSE_OPTIONS.adamBeta2, default: 0.95 },
  loadBest: { ...COURSE_OPTIONS.loadBest, default: false },
  evalSteps: { ...COURSE_OPTIONS.evalSteps, default: 200 },
  samples: { ...COURSE_OPTIONS.samples, default: 1, help: "how many of the sample prompts are continued before, on the way and after" },
  sampleTokens: { ...COURSE_OPTIONS.sampleTokens, default: 64, help: "longest such continuation" },
  sampleSteps: {
    group: COURSE_OPTIONS.samples.group,
    type: "integer",
    minimum: 0,
    default: 200,
    help: "optimiser steps between samples; 0 for none on the way",
  },
  samplePrompts: {
    group: COURSE_OPTIONS.samples.group,
    type: "list",
    commas: "kept",
    placeholder: "TEXT",
    default: ["Once upon a time"],
    help: "beginnings that are continued; may be given several times",
  },
  weightDtype: {
    group: INPUT,
    type: "enum",
    choices: ["float32", "bfloat16", "float16"],
    default: "float32",
    help: "element type of the finished model's weights",
  },
};

/** What says how a new model is made, and means nothing for one that is gone on with. */
export const OF_A_NEW_MODEL = [
  "preset",
  "hiddenSize",
  "intermediateSize",
  "numHiddenLayers",
  "numAttentionHeads",
  "numKeyValueHeads",
  "tieWordEmbeddings",
  "splitDigits",
  "tokenizer",
  "vocabSize",
] as const;

/** Fills in the defaults, makes paths absolute and checks options against each other. */
export function resolvePretrainOptions(...layers: readonly Partial<PretrainOptions>[]): PretrainOptions {
  const options = resolveOptions(PRETRAIN_OPTIONS, ...layers);
  checkCourse(options, validationOf(options).kind !== "none");
  const bad = Object.entries(options.repeat).find(([, times]) => !Number.isInteger(times) || times < 1);
  if (bad) throw new GiantError("usage", `--repeat: ${bad[0]}=${bad[1]} is not a whole number of times, at least 1`);
  return { ...options, ...absolutePaths(options) };
}

/** The paths among given options, made absolute. */
export function absolutePaths(options: Partial<PretrainOptions>): Partial<PretrainOptions> {
  const { data, output, init, tokenizer, validation } = options;
  return {
    ...(data !== undefined && { data: data.map((path) => resolve(path)) }),
    ...(output !== undefined && { output: resolve(output) }),
    ...(init !== undefined && { init: resolve(init) }),
    ...(tokenizer !== undefined && { tokenizer: resolve(tokenizer) }),
    ...(validation !== undefined && validationOf({ validation }).kind === "file" && { validation: resolve(validation) }),
  };
}

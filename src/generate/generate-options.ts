/** The options of `generate` and `chat`: sources of their flags, help and defaults. */
import type { OptionTable } from "../base/options.ts";

interface SourceOptions {
  readonly model: string;
  /** Each `DIR`, or `DIR=WEIGHT`. */
  readonly adapter: readonly string[];
  readonly device: "auto" | "cpu" | "webgpu" | "cuda";
  readonly threads?: number;
}

interface SamplingFlags {
  readonly maxTokens: number;
  readonly greedy: boolean;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly stop: readonly string[];
  readonly seed: number;
}

interface ControlFlags {
  readonly control?: string;
  readonly controlStrength: number;
}

export interface GenerateOptions extends SourceOptions, ControlFlags, SamplingFlags {
  readonly prompt: string;
}

export interface ChatOptions extends SourceOptions, ControlFlags, SamplingFlags {
  readonly system?: string;
}

const MODEL = "Model";
const TEXT = "Text";
const SAMPLING = "Sampling";

const SOURCE: OptionTable<SourceOptions> = {
  model: { group: MODEL, type: "path", placeholder: "DIR", required: true, help: "folder of the model, in Hugging Face's layout" },
  adapter: {
    group: MODEL,
    type: "list",
    commas: "kept",
    placeholder: "DIR[=WEIGHT]",
    default: [],
    help: "folder of an adapter for it; given several times, their weighted sum (weight 1 where none is named; 0 only loads it)",
  },
  device: { group: MODEL, type: "enum", choices: ["auto", "cpu", "webgpu", "cuda"], default: "auto", help: "where to compute" },
  threads: { group: MODEL, type: "integer", minimum: 1, defaultText: "physical cores", help: "threads of one operator on the CPU" },
};

const SAMPLING_FLAGS: OptionTable<SamplingFlags> = {
  maxTokens: { group: TEXT, type: "integer", minimum: 1, default: 256, help: "longest answer, in tokens" },
  stop: { group: TEXT, type: "list", commas: "kept", placeholder: "TEXT", default: [], help: "texts that end the answer; may be given several times" },
  greedy: { group: SAMPLING, type: "boolean", default: false, help: "always the most likely token" },
  temperature: { group: SAMPLING, type: "number", minimum: 0, default: 0.8, help: "divides the logits: above 1 is more varied, 0 is greedy" },
  topK: { group: SAMPLING, type: "integer", minimum: 0, default: 0, help: "only the K most likely tokens; 0 is off" },
  topP: {
    group: SAMPLING,
    type: "number",
    minimum: 0,
    above: true,
    maximum: 1,
    default: 1,
    help: "only the most likely tokens that together have this probability; 1 is off",
  },
  minP: {
    group: SAMPLING,
    type: "number",
    minimum: 0,
    maximum: 1,
    default: 0,
    help: "only tokens at least this likely, relative to the most likely one; 0 is off",
  },
  repetitionPenalty: {
    group: SAMPLING,
    type: "number",
    minimum: 0,
    above: true,
    default: 1,
    help: "makes tokens that were there before less likely; 1 is off",
  },
  seed: { group: SAMPLING, type: "integer", minimum: 0, maximum: 4294967295, default: 42, help: "decides every random choice" },
};

const CONTROL_FLAGS: OptionTable<ControlFlags> = {
  control: { group: TEXT, type: "string", placeholder: "TEXT", help: "text that steers the answer, where the adapter is a control branch" },
  controlStrength: {
    group: TEXT,
    type: "number",
    minimum: 0,
    default: 1,
    help: "how strongly a control branch counts: 0 is the bare model, 1 as it was trained",
  },
};

export const GENERATE_OPTIONS: OptionTable<GenerateOptions> = {
  ...SOURCE,
  prompt: { group: TEXT, type: "string", required: true, mayBeEmpty: true, help: "text to continue; an empty one begins from nothing" },
  ...CONTROL_FLAGS,
  ...SAMPLING_FLAGS,
};

export const CHAT_OPTIONS: OptionTable<ChatOptions> = {
  ...SOURCE,
  system: { group: TEXT, type: "string", help: "what the model is told before the conversation" },
  ...CONTROL_FLAGS,
  ...SAMPLING_FLAGS,
};

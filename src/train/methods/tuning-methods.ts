/** The ways of tuning by the names that `--method` takes. */
import type { Architecture } from "../../models/architecture.ts";
import type { Inventory } from "../../nn/inventory.ts";
import { adaptionPrompt } from "../../peft/adaption-prompt.ts";
import { type BottleneckConfig, HOULSBY, PARALLEL, PFEIFFER } from "../../peft/bottleneck-config.ts";
import { bottleneck } from "../../peft/bottleneck.ts";
import { control } from "../../peft/control.ts";
import { full } from "../../peft/full.ts";
import { ia3 } from "../../peft/ia3.ts";
import { lora } from "../../peft/lora.ts";
import type { AdaptationMethod } from "../../peft/method.ts";
import { prefixInTraining } from "../../peft/prefix.ts";
import { promptTuning } from "../../peft/prompt-tuning.ts";
import type { Tokenizer } from "../../tokenize/tokenizer.ts";
import { adaptionPromptConfigOf } from "./adaption-prompt-options.ts";
import { bottleneckConfigOf } from "./bottleneck-options.ts";
import { controlConfigOf } from "./control-options.ts";
import { ia3ConfigOf } from "./ia3-options.ts";
import { loraConfigOf } from "./lora-options.ts";
import type { MethodOptions } from "./method-options.ts";
import { prefixConfigOf, promptConfigOf } from "./prefix-options.ts";

/** The model a method is bound to; its weights need not be there. */
export interface MethodBase {
  readonly architecture: Architecture;
  readonly inventory: Inventory;
}

export interface TuningMethod {
  /** What it does, in one line of help. */
  readonly summary: string;
  /** Learning rate where none is named. */
  readonly learningRate: number;
  /** Binds the method to a base. Without a `tokenizer` only shapes are wanted. */
  readonly make: (options: MethodOptions, base: MethodBase, tokenizer?: Tokenizer) => AdaptationMethod;
}

export const METHOD_NAMES = [
  "lora",
  "dora",
  "qlora",
  "houlsby",
  "pfeiffer",
  "parallel",
  "prefix",
  "prompt",
  "ia3",
  "adaption-prompt",
  "control",
  "full",
] as const;
export type MethodName = (typeof METHOD_NAMES)[number];

const METHODS: Readonly<Record<MethodName, TuningMethod>> = {
  lora: {
    summary: "low-rank terms beside linear layers (LoRA)",
    learningRate: 2e-4,
    make: (options, { architecture, inventory }) => lora(loraConfigOf(options), inventory, architecture.head),
  },
  dora: {
    summary: "LoRA with each output's magnitude trained apart (DoRA)",
    learningRate: 2e-4,
    make: (options, { architecture, inventory }) => lora({ ...loraConfigOf(options), useDora: true }, inventory, architecture.head),
  },
  qlora: {
    summary: "LoRA over a base in four bits (QLoRA)",
    learningRate: 2e-4,
    make: (options, { architecture, inventory }) => lora(loraConfigOf(options), inventory, architecture.head),
  },
  houlsby: bottleneckMethod(HOULSBY, "narrow layers behind attention and MLP (Houlsby's adapters)"),
  pfeiffer: bottleneckMethod(PFEIFFER, "narrow layers behind the MLP (Pfeiffer's adapters)"),
  parallel: bottleneckMethod(PARALLEL, "narrow layers beside the MLP (parallel adapters)"),
  prefix: {
    summary: "keys and values in front of every layer's (prefix tuning)",
    learningRate: 1e-2, // PEFT's examples; few tensors far from the loss need large steps.
    make: (options, { architecture, inventory }) => prefixInTraining(prefixConfigOf(options), inventory, architecture),
  },
  prompt: {
    summary: "embeddings in front of every text (prompt tuning)",
    learningRate: 3e-2, // PEFT's examples with AdamW; the paper's 0.3 is Adafactor's, which scales steps by the parameter.
    make: (options, { architecture, inventory }, tokenizer) =>
      promptTuning(promptConfigOf(options), inventory, architecture, tokenizer?.encode(options.promptTuningInitText ?? "", { addSpecialTokens: true })),
  },
  ia3: {
    summary: "factors on keys, values and inner activations (IA3)",
    learningRate: 3e-3, // The paper's, section 3.3.
    make: (options, { architecture, inventory }) => ia3(ia3ConfigOf(options), inventory, architecture),
  },
  "adaption-prompt": {
    summary: "gated prompts in the attention of the last layers (LLaMA-Adapter)",
    learningRate: 9e-3, // The paper's, with AdamW.
    make: (options, { architecture, inventory }) => adaptionPrompt(adaptionPromptConfigOf(options, architecture.numHiddenLayers), inventory, architecture),
  },
  control: {
    summary: "a copy of the first blocks that reads a control text beside the prompt (ControlNet)",
    learningRate: 2e-4,
    make: (options, { architecture, inventory }) => control(controlConfigOf(options, architecture.numHiddenLayers), architecture, inventory),
  },
  full: { summary: "all weights", learningRate: 2e-5, make: (_, { inventory }) => full(inventory) },
};

/**
 * AdapterHub's 1e-4 is meant for long runs from weights that do not start at zero. Houlsby et al. searched 3e-5, 3e-4 and
 * 3e-3; from zero, short runs on pebble learn several times as much at 1e-3. A scale of 4 makes each step as much longer.
 */
function bottleneckMethod(usual: BottleneckConfig, summary: string): TuningMethod {
  return {
    summary,
    learningRate: usual.scaling > 1 ? 3e-4 : 1e-3,
    make: (options, { architecture, inventory }) => bottleneck(bottleneckConfigOf(options, usual), architecture, inventory),
  };
}

/** A method by its name. */
export function tuningMethod(name: MethodName): TuningMethod {
  return METHODS[name];
}

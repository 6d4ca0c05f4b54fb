/** Methods × families: what the laws of adaptation are held on. */
import { control } from "../src/peft/control.ts";
import { bottleneck } from "../src/peft/bottleneck.ts";
import { type BottleneckConfig, HOULSBY, PARALLEL, PFEIFFER } from "../src/peft/bottleneck-config.ts";
import { adaptionPrompt } from "../src/peft/adaption-prompt.ts";
import { full } from "../src/peft/full.ts";
import { ia3 } from "../src/peft/ia3.ts";
import { lora } from "../src/peft/lora.ts";
import { LORA_DEFAULTS, type LoraConfig } from "../src/peft/lora-config.ts";
import type { AdaptationMethod } from "../src/peft/method.ts";
import { prefixInTraining } from "../src/peft/prefix.ts";
import { promptTuning } from "../src/peft/prompt-tuning.ts";
import type { Architecture } from "../src/models/architecture.ts";
import type { Inventory } from "../src/nn/inventory.ts";
import {
  bottleneckParameters,
  controlParameters,
  fullParameters,
  ia3Parameters,
  loraParameters,
  prefixEncoderParameters,
  prefixParameters,
} from "./adapter-formulas.ts";

/** How a base names the parts that configurations speak of. */
export interface FamilyNames {
  readonly golden: string;
  readonly embedding: string;
  readonly head: string;
  /** Two linear layers of a block. */
  readonly layers: readonly [string, string];
  readonly norm: string;
}

const LLAMA_NAMES = { embedding: "embed_tokens", head: "lm_head", layers: ["q_proj", "down_proj"], norm: "post_attention_layernorm" } as const;

/** Families by the golden model that stands for them. */
export const families: readonly FamilyNames[] = [
  { golden: "llama_gqa", ...LLAMA_NAMES },
  { golden: "llama_mha_tied", ...LLAMA_NAMES },
  { golden: "llama_biases", ...LLAMA_NAMES },
  { golden: "qwen2", ...LLAMA_NAMES },
  { golden: "qwen3", ...LLAMA_NAMES },
  { golden: "mistral_swa", ...LLAMA_NAMES },
  { golden: "smollm3", ...LLAMA_NAMES },
  { golden: "gpt2", embedding: "wte", head: "lm_head", layers: ["c_attn", "c_fc"], norm: "ln_2" },
  { golden: "gpt_neox", embedding: "embed_in", head: "embed_out", layers: ["query_key_value", "dense_4h_to_h"], norm: "post_attention_layernorm" },
  { golden: "gptj", embedding: "wte", head: "lm_head", layers: ["q_proj", "fc_out"], norm: "ln_1" },
];

const SMALL = { ...LORA_DEFAULTS, r: 4, loraAlpha: 8 };

/** A base as its shapes. */
export interface ShapedBase {
  readonly architecture: Architecture;
  readonly inventory: Inventory;
}

/** A method with a configuration, and what the laws must know of it. */
export interface MethodCase {
  readonly make: (base: ShapedBase, names: FamilyNames) => AdaptationMethod;
  /** Number of trained scalars by the paper's formula, counted without asking the method. */
  readonly trainable: (base: ShapedBase, names: FamilyNames) => number;
  /** Learning rate at which six steps on one batch must lower the loss. */
  readonly learningRate: number;
  /** Whether the method promises to begin as the bare base. */
  readonly startsAsIdentity: boolean | ((names: FamilyNames) => boolean);
  /** Held on every family, and not on `WHOLE_FAMILIES` only. */
  readonly everywhere: boolean;
}

/** Configurations of LoRA and its kin, by name. */
export const loraConfigurations: Readonly<Record<string, (names: FamilyNames) => LoraConfig>> = {
  lora: () => SMALL,
  rslora: ({ layers }) => ({ ...SMALL, useRslora: true, targetModules: layers }),
  dora: () => ({ ...SMALL, useDora: true }),
  gaussian: () => ({ ...SMALL, initLoraWeights: "gaussian" }),
  patterns: ({ layers }) => ({ ...SMALL, targetModules: layers, rankPattern: { [layers[0]]: 2 }, alphaPattern: { [layers[1]]: 32 } }),
  embeddings: ({ embedding, layers }) => ({ ...SMALL, targetModules: [embedding, layers[0]] }),
  head: ({ head, layers }) => ({ ...SMALL, targetModules: [head, layers[0]] }),
  "embeddings and head": ({ embedding, head }) => ({ ...SMALL, targetModules: [embedding, head] }),
  "saved head": ({ head }) => ({ ...SMALL, modulesToSave: [head] }),
  "saved norm and embedding": ({ norm, embedding }) => ({ ...SMALL, modulesToSave: [norm, embedding] }),
  "all biases": () => ({ ...SMALL, bias: "all" }),
  "their biases": ({ layers }) => ({ ...SMALL, targetModules: layers, bias: "lora_only" }),
};

function loraCase(config: (names: FamilyNames) => LoraConfig, everywhere: boolean): MethodCase {
  return {
    make: ({ inventory, architecture }, names) => lora(config(names), inventory, architecture.head),
    trainable: (base, names) => loraParameters(base, config(names)),
    learningRate: 1e-2,
    startsAsIdentity: true,
    everywhere,
  };
}

function controlCase(numBlocks: number): MethodCase {
  return {
    make: ({ architecture, inventory }) => control({ numBlocks, controlLength: 16, controlDropout: 0 }, architecture, inventory),
    trainable: (base) => controlParameters(base, numBlocks),
    learningRate: 2e-3,
    startsAsIdentity: true,
    everywhere: true,
  };
}

/** Configurations of bottleneck adapters, by name. */
const bottleneckConfigurations: Readonly<Record<string, BottleneckConfig>> = {
  houlsby: { ...HOULSBY, reductionFactor: 8 },
  pfeiffer: { ...PFEIFFER, reductionFactor: 8, initWeights: "mam_adapter" },
  parallel: PARALLEL,
  "paper's start": { ...HOULSBY, reductionFactor: 8, initWeights: "houlsby", afterMlp: false, nonLinearity: "tanh" },
  "left-out blocks": { ...HOULSBY, initWeights: "mam_adapter", reductionFactor: { 0: 4, default: 16 }, leaveOut: [1], dropout: 0.1, nonLinearity: "gelu" },
};

function bottleneckCase(config: BottleneckConfig, everywhere: boolean): MethodCase {
  return {
    make: ({ architecture, inventory }) => bottleneck(config, architecture, inventory),
    trainable: (base) => bottleneckParameters(base, config),
    learningRate: 1e-2,
    startsAsIdentity: config.initWeights === "mam_adapter",
    everywhere,
  };
}

/** Families on which every case is held: one with a tied head, and one with biases that stores its weights turned. */
const WHOLE_FAMILIES: readonly string[] = ["llama_mha_tied", "gpt2"];

/** Every method in every form that the laws are held on. */
export const methodCases: Readonly<Record<string, MethodCase>> = {
  ...Object.fromEntries(Object.entries(loraConfigurations).map(([name, config]) => [name, loraCase(config, name === "lora" || name === "dora")])),
  control: controlCase(1),
  "control of two blocks": controlCase(2),
  ia3: {
    make: ({ inventory, architecture }) => ia3({}, inventory, architecture),
    trainable: ia3Parameters,
    learningRate: 3e-2,
    startsAsIdentity: true,
    everywhere: true,
  },
  "ia3 of all layers and the head": {
    make: ({ inventory, architecture }, { head, layers }) =>
      ia3({ targetModules: [head, ...layers], feedforwardModules: [layers[1]] }, inventory, architecture),
    trainable: ({ inventory, architecture }, { layers }) => {
      const sizes = inventory.linears.map(({ path, spec }) => (path.endsWith(layers[0]) ? spec.outFeatures : path.endsWith(layers[1]) ? spec.inFeatures : 0));
      return sizes.reduce((sum, size) => sum + size, architecture.vocabSize);
    },
    learningRate: 3e-2,
    startsAsIdentity: true,
    everywhere: false,
  },
  ...Object.fromEntries(
    Object.entries(bottleneckConfigurations).map(([name, config]) => [name, bottleneckCase(config, ["houlsby", "pfeiffer", "parallel"].includes(name))]),
  ),
  prefix: {
    make: ({ inventory, architecture }) => prefixInTraining({ numVirtualTokens: 5, prefixProjection: false, zeroInit: false }, inventory, architecture),
    trainable: (base) => prefixParameters(base, 5),
    learningRate: 5e-2,
    startsAsIdentity: false,
    everywhere: true,
  },
  "prefix with projection": {
    make: ({ inventory, architecture }) =>
      prefixInTraining({ numVirtualTokens: 5, prefixProjection: true, encoderHiddenSize: 12, zeroInit: false }, inventory, architecture),
    trainable: (base) => prefixEncoderParameters(base, 5, 12),
    learningRate: 5e-2,
    startsAsIdentity: false,
    everywhere: true,
  },
  prompt: {
    make: ({ inventory, architecture }) => promptTuning({ numVirtualTokens: 5, init: "SAMPLE_VOCAB" }, inventory, architecture),
    trainable: ({ architecture }) => 5 * architecture.hiddenSize,
    learningRate: 1e-1,
    startsAsIdentity: false,
    everywhere: true,
  },
  "prompt from a text": {
    make: ({ inventory, architecture }) => promptTuning({ numVirtualTokens: 5, init: "TEXT", initText: "two tokens" }, inventory, architecture, [7, 9]),
    trainable: ({ architecture }) => 5 * architecture.hiddenSize,
    learningRate: 1e-1,
    startsAsIdentity: false,
    everywhere: false,
  },
  "adaption-prompt": {
    make: ({ inventory, architecture }) => adaptionPrompt({ adapterLen: 3, adapterLayers: 2 }, inventory, architecture),
    trainable: ({ architecture }) => 2 * (3 * architecture.hiddenSize + 1),
    learningRate: 1e-1,
    // PEFT adds the bias of LLaMA's output layer a second time, whatever the gate.
    startsAsIdentity: ({ golden }) => golden !== "llama_biases",
    everywhere: true,
  },
  full: { make: ({ inventory }) => full(inventory), trainable: fullParameters, learningRate: 2e-3, startsAsIdentity: true, everywhere: true },
};

/** Names of the cases that are held on a family. */
export function casesOn(golden: string): string[] {
  return Object.keys(methodCases).filter((name) => methodCases[name]!.everywhere || WHOLE_FAMILIES.includes(golden));
}

/** Methods × families: what the laws of adaptation are held on. */
import type { LoraConfig } from "../src/peft/lora-config.ts";
import { LORA_DEFAULTS } from "../src/peft/lora-config.ts";

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
];

const SMALL = { ...LORA_DEFAULTS, r: 4, loraAlpha: 8 };

/** Configurations of LoRA and its kin, by name; "full" is not among them. */
export const configurations: Readonly<Record<string, (names: FamilyNames) => LoraConfig>> = {
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

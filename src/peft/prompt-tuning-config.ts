/** Prompt tuning's configuration, to and from PEFT's adapter_config.json. */
import type { BaseModel } from "../nn/decoder.ts";
import { AdapterConfig } from "./adapter-config.ts";

export const PROMPT_INITS = ["RANDOM", "SAMPLE_VOCAB", "TEXT"] as const;

export interface PromptTuningConfig {
  /** Embeddings in front of every text (P). */
  readonly numVirtualTokens: number;
  /** They start at N(0, 1), as rows of the token embedding drawn at random, or as those of a text. */
  readonly init: (typeof PROMPT_INITS)[number];
  readonly initText?: string | undefined;
  /** How PEFT finds the tokenizer of that text. */
  readonly tokenizer?: string | undefined;
}

type Base = Pick<BaseModel, "hiddenSize" | "numHiddenLayers" | "numAttentionHeads">;

/**
 * Reads adapter_config.json.
 * @throws GiantError("adapter") naming a field with a wrong value, or an option that is set and not supported.
 */
export function readPromptTuningConfig(json: Readonly<Record<string, unknown>>, where: string, base: Base): PromptTuningConfig {
  const own = ["num_virtual_tokens", "prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path"];
  const dimensions = ["token_dim", "num_transformer_submodules"];
  // Layers and heads have no part in the arithmetic, nor has how the text was once cut into tokens.
  const config = new AdapterConfig(json, where, [...own, ...dimensions], ["num_layers", "num_attention_heads", "tokenizer_kwargs"]);
  config.expect("token_dim", base.hiddenSize, "the width of the base's embeddings");
  config.expect("num_transformer_submodules", 1, "as a decoder has");
  return {
    numVirtualTokens: config.positiveInteger("num_virtual_tokens"),
    init: config.choice("prompt_tuning_init", PROMPT_INITS, "RANDOM"),
    initText: config.text("prompt_tuning_init_text"),
    tokenizer: config.text("tokenizer_name_or_path"),
  };
}

/** Writes adapter_config.json with the fields PEFT reads. */
export function writePromptTuningConfig(config: PromptTuningConfig, name: string, base: Base): Record<string, unknown> {
  return {
    auto_mapping: null,
    base_model_name_or_path: name,
    inference_mode: true,
    modules_to_save: null,
    num_attention_heads: base.numAttentionHeads,
    num_layers: base.numHiddenLayers,
    num_transformer_submodules: 1,
    num_virtual_tokens: config.numVirtualTokens,
    peft_type: "PROMPT_TUNING",
    prompt_tuning_init: config.init,
    prompt_tuning_init_text: config.initText ?? null,
    revision: null,
    task_type: "CAUSAL_LM",
    token_dim: base.hiddenSize,
    tokenizer_kwargs: null,
    // PEFT refuses a text without a tokenizer; the base's folder has it.
    tokenizer_name_or_path: config.tokenizer ?? (config.init === "TEXT" ? name : null),
  };
}

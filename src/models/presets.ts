/** Shapes of new models by their size, and the config.json of a new LLaMA model. */
import type { JsonObject } from "./config-fields.ts";

/** The dimensions that a new model is made from. */
export interface ModelShape {
  readonly hiddenSize: number; // C
  readonly intermediateSize: number;
  readonly numHiddenLayers: number; // L
  readonly numAttentionHeads: number; // H
  readonly numKeyValueHeads: number; // K
}

const shape = (hiddenSize: number, numHiddenLayers: number, numAttentionHeads: number, numKeyValueHeads: number, intermediateSize: number): ModelShape => ({
  hiddenSize,
  numHiddenLayers,
  numAttentionHeads,
  numKeyValueHeads,
  intermediateSize,
});

/**
 * Named by their parameters with tied embeddings and the vocabulary they are usual with: 4096 tokens up to 8M, then
 * 32,000 (llama2.c's stories models) and 49,152 (SmolLM2). The MLP is about 8/3 of the width,
 * as in LLaMA (Touvron et al. 2023, 2.2); keys and values are shared by groups of queries (Ainslie et al. 2023, 2305.13245).
 */
export const PRESETS: Readonly<Record<string, ModelShape>> = {
  "400K": shape(64, 3, 4, 2, 176),
  "1M": shape(128, 4, 4, 2, 344),
  "2M": shape(160, 6, 5, 1, 432),
  "3M": shape(192, 6, 6, 2, 512),
  "5M": shape(256, 6, 8, 2, 688),
  "8M": shape(320, 7, 10, 2, 856),
  "15M": shape(288, 6, 6, 6, 768), // stories15M
  "42M": shape(512, 8, 8, 8, 1376), // stories42M
  "110M": shape(768, 12, 12, 12, 2048), // stories110M
  "135M": shape(576, 30, 9, 3, 1536), // SmolLM2-135M
  "360M": shape(960, 32, 15, 5, 2560), // SmolLM2-360M
};

/** What a new model's config.json needs beside its shape. */
export interface NewModelFacts {
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly tieWordEmbeddings: boolean;
  readonly bosTokenId: number;
  readonly eosTokenId: number;
  readonly initializerRange: number;
}

/** config.json of a new LLaMA model, as transformers writes it. */
export function llamaConfig(dimensions: ModelShape, facts: NewModelFacts): JsonObject {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: dimensions.hiddenSize,
    intermediate_size: dimensions.intermediateSize,
    num_hidden_layers: dimensions.numHiddenLayers,
    num_attention_heads: dimensions.numAttentionHeads,
    num_key_value_heads: dimensions.numKeyValueHeads,
    head_dim: dimensions.hiddenSize / dimensions.numAttentionHeads,
    vocab_size: facts.vocabSize,
    max_position_embeddings: facts.contextLength,
    hidden_act: "silu",
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    attention_bias: false,
    attention_dropout: 0,
    mlp_bias: false,
    tie_word_embeddings: facts.tieWordEmbeddings,
    initializer_range: facts.initializerRange,
    bos_token_id: facts.bosTokenId,
    eos_token_id: facts.eosTokenId,
    use_cache: true,
    torch_dtype: "float32",
  };
}

/** The models and settings that forecasts are held against. */
import type { StorageDtype } from "../src/core/dtype.ts";

export interface ForecastScenario {
  readonly name: string;
  /** A key of `FORECAST_MODELS`. */
  readonly model: string;
  readonly dtype?: StorageDtype;
  readonly method: "lora" | "full";
  readonly rank?: number;
  readonly batch: number;
  readonly length: number;
  /** Part of the tokens that count in the loss. */
  readonly labelled?: number;
  readonly recompute?: boolean;
  readonly pack?: boolean;
  readonly packing?: boolean;
  readonly accumulation?: number;
}

const LLAMA = { model_type: "llama", max_position_embeddings: 2048, rms_norm_eps: 1e-5, hidden_act: "silu", bos_token_id: 1, eos_token_id: 1 };

function llama(width: number, layers: number, heads: number, keyValueHeads: number, mlp: number, vocabulary: number): Record<string, unknown> {
  return {
    ...LLAMA,
    hidden_size: width,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    intermediate_size: mlp,
    vocab_size: vocabulary,
    tie_word_embeddings: true,
  };
}

/** Configurations by the number of their parameters. */
export const FORECAST_MODELS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "llama-260k": llama(64, 5, 8, 4, 172, 512),
  "llama-7m": llama(256, 6, 8, 4, 768, 8192),
  "gpt2-30m": {
    model_type: "gpt2",
    n_embd: 384,
    n_layer: 8,
    n_head: 6,
    n_positions: 1024,
    vocab_size: 32000,
    activation_function: "gelu_new",
    layer_norm_epsilon: 1e-5,
    bos_token_id: 1,
    eos_token_id: 1,
  },
  "neox-24m": {
    model_type: "gpt_neox",
    hidden_size: 384,
    num_hidden_layers: 6,
    num_attention_heads: 6,
    intermediate_size: 1536,
    vocab_size: 16384,
    max_position_embeddings: 2048,
    rotary_pct: 0.25,
    use_parallel_residual: true,
    hidden_act: "gelu",
    layer_norm_eps: 1e-5,
    tie_word_embeddings: false,
    bos_token_id: 1,
    eos_token_id: 1,
  },
  "llama-27m": llama(384, 8, 6, 6, 1024, 32000),
  /** The shape of HuggingFaceTB/SmolLM2-135M. */
  "llama-135m": llama(576, 30, 9, 3, 1536, 49152),
};

export const FORECAST_SCENARIOS: readonly ForecastScenario[] = [
  { name: "260k-lora", model: "llama-260k", method: "lora", batch: 4, length: 128 },
  { name: "260k-full", model: "llama-260k", method: "full", batch: 8, length: 256 },
  { name: "7m-lora", model: "llama-7m", method: "lora", batch: 4, length: 256 },
  { name: "7m-full-accumulated", model: "llama-7m", method: "full", batch: 2, length: 256, accumulation: 4 },
  { name: "neox-lora", model: "neox-24m", method: "lora", batch: 4, length: 192, labelled: 1 / 3 },
  { name: "gpt2-full", model: "gpt2-30m", method: "full", batch: 4, length: 128 },
  { name: "27m-full", model: "llama-27m", method: "full", batch: 4, length: 256 },
  { name: "27m-full-recompute", model: "llama-27m", method: "full", batch: 8, length: 256, recompute: true },
  { name: "27m-lora-packing", model: "llama-27m", method: "lora", batch: 4, length: 256, packing: true },
  { name: "135m-r16-1x512", model: "llama-135m", method: "lora", batch: 1, length: 512 },
  { name: "135m-r8-2x128", model: "llama-135m", method: "lora", rank: 8, batch: 2, length: 128 },
  { name: "135m-r64-4x256-third", model: "llama-135m", method: "lora", rank: 64, batch: 4, length: 256, labelled: 1 / 3 },
  { name: "135m-r16-4x256-recompute", model: "llama-135m", method: "lora", batch: 4, length: 256, recompute: true },
  { name: "135m-r16-1x512-recompute-third", model: "llama-135m", method: "lora", batch: 1, length: 512, recompute: true, labelled: 1 / 3 },
  { name: "135m-r16-2x256-unpacked", model: "llama-135m", method: "lora", batch: 2, length: 256, pack: false },
  { name: "135m-bf16-1x256", model: "llama-135m", dtype: "BF16", method: "lora", batch: 1, length: 256 },
  { name: "135m-full-1x128", model: "llama-135m", method: "full", batch: 1, length: 128 },
];

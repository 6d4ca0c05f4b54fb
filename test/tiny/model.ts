/** A llama model small enough to be made and tuned while one waits: random weights, and a tokenizer of single bytes. */
import { Random } from "../../src/base/random.ts";
import { byteSpellings } from "../../src/tokenize/byte-level.ts";
import { BASE_SPECIAL_TOKENS, byteLevelJson, tokenizerConfig } from "../../src/tokenize/tokenizer-files.ts";

export const TINY_CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 64,
  intermediate_size: 160,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 260,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: "silu",
  tie_word_embeddings: true,
  bos_token_id: 256,
  eos_token_id: 258,
  torch_dtype: "float32",
} as const;

/** tokenizer.json: one token per byte, spelt as GPT-2 spells bytes, and the special ones. */
export function tinyTokenizer(): Record<string, unknown> {
  return byteLevelJson({
    vocab: Object.fromEntries(byteSpellings().map((spelling, byte) => [spelling, byte])),
    merges: [],
    specialTokens: BASE_SPECIAL_TOKENS.map((content, i) => ({ id: 256 + i, content })),
  });
}

export function tinyTokenizerConfig(): Record<string, unknown> {
  return tokenizerConfig({ maxLength: TINY_CONFIG.max_position_embeddings, chat: "chatml" });
}

/** Weights by their names: normal with deviation 1/√inputs, norms one. */
export function tinyWeights(seed: number): { readonly name: string; readonly shape: readonly number[]; readonly data: Float32Array }[] {
  const { hidden_size: C, intermediate_size: F, num_hidden_layers: L, num_attention_heads: H, num_key_value_heads: K, vocab_size: V } = TINY_CONFIG;
  const keyWidth = (C / H) * K;
  const shapes: [name: string, shape: number[]][] = [
    ["model.embed_tokens.weight", [V, C]],
    ["model.norm.weight", [C]],
  ];
  for (let layer = 0; layer < L; layer++) {
    const path = `model.layers.${layer}`;
    shapes.push(
      [`${path}.input_layernorm.weight`, [C]],
      [`${path}.self_attn.q_proj.weight`, [C, C]],
      [`${path}.self_attn.k_proj.weight`, [keyWidth, C]],
      [`${path}.self_attn.v_proj.weight`, [keyWidth, C]],
      [`${path}.self_attn.o_proj.weight`, [C, C]],
      [`${path}.post_attention_layernorm.weight`, [C]],
      [`${path}.mlp.gate_proj.weight`, [F, C]],
      [`${path}.mlp.up_proj.weight`, [F, C]],
      [`${path}.mlp.down_proj.weight`, [C, F]],
    );
  }
  return shapes.map(([name, shape]) => {
    const random = Random.named(seed, name);
    const size = shape.reduce((a, b) => a * b, 1);
    const deviation = 1 / Math.sqrt(shape.at(-1)!);
    return { name, shape, data: Float32Array.from({ length: size }, () => (shape.length === 1 ? 1 : deviation * random.normal())) };
  });
}

/**
 * GPT-NeoX and Pythia (Black et al. 2022, arXiv 2204.06745): part of each head is rotated, q, k and v come from one
 * product head by head, and attention and MLP may stand side by side.
 *
 *   parallel:    h ← h + dense(attention(ln₁ h)) + mlp(ln₂ h)
 *   sequential:  h ← h + dense(attention(ln₁ h));  h ← h + mlp(ln₂ h)
 */
import { invariant } from "../base/errors.ts";
import { layerNorm, reshape, rotary, slice } from "../core/operations.ts";
import { product } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { activation, activationNames } from "../nn/activation.ts";
import type { ModelContext } from "../nn/context.ts";
import type { Decoder, DecoderInputs } from "../nn/decoder.ts";
import type { Architecture } from "./architecture.ts";
import type { ConfigFields } from "./config-fields.ts";
import { readRotary } from "./rope-scaling.ts";

interface NeoxConfig {
  readonly C: number;
  readonly H: number;
  readonly layers: number;
  readonly inner: number;
  readonly vocabSize: number;
  readonly epsilon: number;
  readonly act: string;
  readonly attentionBias: boolean;
  readonly parallel: boolean;
}

export const modelTypes: readonly string[] = ["gpt_neox"];

/** Reads a config.json with `model_type` gpt_neox. */
export function describe(config: ConfigFields): Architecture {
  const C = config.positiveInteger("hidden_size");
  const H = config.positiveInteger("num_attention_heads");
  if (C % H !== 0) throw config.error("num_attention_heads", `a divisor of hidden_size ${C}`);
  const neox: NeoxConfig = {
    C,
    H,
    layers: config.positiveInteger("num_hidden_layers"),
    inner: config.positiveInteger("intermediate_size"),
    vocabSize: config.positiveInteger("vocab_size"),
    epsilon: config.positive("layer_norm_eps", 1e-5),
    act: config.choice("hidden_act", activationNames, "gelu"),
    attentionBias: config.boolean("attention_bias", true),
    parallel: config.boolean("use_parallel_residual", true),
  };
  const D = C / H;
  // transformers 5 moves both numbers into rope_parameters; 4 had names of its own for them.
  const nested = config.object("rope_parameters");
  const fraction = nested?.positive("partial_rotary_factor", config.positive("rotary_pct", 0.25)) ?? config.positive("rotary_pct", 0.25);
  const tied = config.boolean("tie_word_embeddings", false);
  return {
    modelType: "gpt_neox",
    hiddenSize: C,
    numHiddenLayers: neox.layers,
    numAttentionHeads: H,
    numKeyValueHeads: H,
    headDim: D,
    intermediateSize: neox.inner,
    vocabSize: neox.vocabSize,
    maxPositionEmbeddings: config.positiveInteger("max_position_embeddings", 2048),
    tieWordEmbeddings: tied,
    rotary: { main: readRotary(config, Math.trunc(D * fraction), config.positive("rotary_emb_base", 10000)) },
    bosTokenId: config.tokenIds("bos_token_id")[0],
    eosTokenIds: config.tokenIds("eos_token_id"),
    decoder: decoderOf(neox),
    head: {
      path: "embed_out",
      spec: { inFeatures: C, outFeatures: neox.vocabSize, bias: false, ...(tied ? { tiedTo: "gpt_neox.embed_in.weight" } : {}) },
    },
  };
}

function decoderOf(config: NeoxConfig): Decoder {
  const { C } = config;
  return {
    embed(context, inputs) {
      const tokens = context.embedding("gpt_neox.embed_in", inputs.tokens, { rows: config.vocabSize, width: C });
      return reshape(tokens, [product(["B", inputs.length]), C]);
    },
    blocks: Array.from({ length: config.layers }, (_, layer) => ({
      path: `gpt_neox.layers.${layer}`,
      compute: (context, inputs, h) => block(config, context, inputs, h, layer),
    })),
    norm: (context, h) => norm(config, context, "gpt_neox.final_layer_norm", h),
  };
}

function block(config: NeoxConfig, context: ModelContext, inputs: DecoderInputs, h: Tensor, layer: number): Tensor {
  const path = `gpt_neox.layers.${layer}`;
  const mixed = selfAttention(config, context, `${path}.attention`, norm(config, context, `${path}.input_layernorm`, h), inputs, layer);
  const middle = context.sublayer(path, "attention", h, mixed);
  const read = norm(config, context, `${path}.post_attention_layernorm`, config.parallel ? h : middle);
  return context.sublayer(path, "mlp", middle, mlp(config, context, `${path}.mlp`, read));
}

function norm(config: NeoxConfig, context: ModelContext, path: string, x: Tensor): Tensor {
  const weight = context.parameter(`${path}.weight`, [config.C], path);
  return layerNorm(x, weight, context.parameter(`${path}.bias`, [config.C], path), config.epsilon);
}

function selfAttention(config: NeoxConfig, context: ModelContext, path: string, x: Tensor, inputs: DecoderInputs, layer: number): Tensor {
  const { C, H, attentionBias: bias } = config;
  const D = C / H;
  const join = (rows: Tensor): Tensor => context.linear(`${path}.query_key_value`, rows, { inFeatures: C, outFeatures: 3 * C, bias });
  const heads = reshape(join(x), ["B", inputs.length, H, 3 * D]);
  const part = (i: number): Tensor => slice(heads, 3, i * D, D);
  const { cos, sin } = inputs.rotary("main");
  const mixed = context.attention(path, {
    query: rotary(part(0), cos, sin),
    key: rotary(part(1), cos, sin),
    value: part(2),
    masks: (prefix) => inputs.masks(1, undefined, prefix),
    cache: inputs.cache(layer),
    keyValueOf: (rows) => {
      const outside = reshape(join(rows), [rows.shape[0]!, H, 3 * D]);
      return { key: slice(outside, 2, D, D), value: slice(outside, 2, 2 * D, D) };
    },
  });
  return context.linear(`${path}.dense`, mixed, { inFeatures: C, outFeatures: C, bias });
}

function mlp(config: NeoxConfig, context: ModelContext, path: string, x: Tensor): Tensor {
  const act = activation(config.act);
  invariant(act !== undefined, `no activation ${config.act}`);
  const wide = context.linear(`${path}.dense_h_to_4h`, x, { inFeatures: config.C, outFeatures: config.inner, bias: true });
  return context.linear(`${path}.dense_4h_to_h`, act(wide), { inFeatures: config.inner, outFeatures: config.C, bias: true });
}

/**
 * GPT-2 (Radford et al. 2019): learned positions, layer norm before each sub-layer, one product for q, k and v, and
 * weights stored [in, out] (transformers' Conv1D).
 *
 *   h ← h + c_proj(attention(c_attn(ln_1 h)))
 *   h ← h + c_proj(act(c_fc(ln_2 h)))
 */
import { invariant } from "../base/errors.ts";
import { add, layerNorm, reshape, slice } from "../core/operations.ts";
import { product } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { activation, activationNames } from "../nn/activation.ts";
import type { ModelContext } from "../nn/context.ts";
import type { Decoder, DecoderInputs } from "../nn/decoder.ts";
import type { Architecture } from "./architecture.ts";
import type { ConfigFields } from "./config-fields.ts";

interface Gpt2Config {
  readonly C: number;
  readonly H: number;
  readonly layers: number;
  readonly inner: number;
  readonly vocabSize: number;
  readonly positions: number;
  readonly epsilon: number;
  readonly act: string;
  /** Scale of the scores in each layer. */
  readonly scoreScale: (layer: number) => number;
}

export const modelTypes: readonly string[] = ["gpt2"];

/** Reads a config.json with `model_type` gpt2. */
export function describe(config: ConfigFields): Architecture {
  const C = config.positiveInteger("n_embd");
  const H = config.positiveInteger("n_head");
  if (C % H !== 0) throw config.error("n_head", `a divisor of n_embd ${C}`);
  const scaled = config.boolean("scale_attn_weights", true);
  const byLayer = config.boolean("scale_attn_by_inverse_layer_idx", false);
  const gpt2: Gpt2Config = {
    C,
    H,
    layers: config.positiveInteger("n_layer"),
    inner: config.positiveInteger("n_inner", 4 * C),
    vocabSize: config.positiveInteger("vocab_size"),
    positions: config.positiveInteger("n_positions", 1024),
    epsilon: config.positive("layer_norm_epsilon", 1e-5),
    act: config.choice("activation_function", activationNames, "gelu_new"),
    scoreScale: (layer) => (scaled ? 1 / Math.sqrt(C / H) : 1) / (byLayer ? layer + 1 : 1),
  };
  const tied = config.boolean("tie_word_embeddings", true);
  return {
    modelType: "gpt2",
    hiddenSize: C,
    numHiddenLayers: gpt2.layers,
    numAttentionHeads: H,
    numKeyValueHeads: H,
    headDim: C / H,
    intermediateSize: gpt2.inner,
    vocabSize: gpt2.vocabSize,
    maxPositionEmbeddings: gpt2.positions,
    tieWordEmbeddings: tied,
    rotary: {},
    bosTokenId: config.tokenIds("bos_token_id")[0],
    eosTokenIds: config.tokenIds("eos_token_id"),
    decoder: decoderOf(gpt2),
    head: {
      path: "lm_head",
      spec: { inFeatures: C, outFeatures: gpt2.vocabSize, bias: false, ...(tied ? { tiedTo: "transformer.wte.weight" } : {}) },
    },
  };
}

function decoderOf(config: Gpt2Config): Decoder {
  const { C } = config;
  return {
    embed(context, inputs) {
      const tokens = context.embedding("transformer.wte", inputs.tokens, { rows: config.vocabSize, width: C });
      const places = context.embedding("transformer.wpe", inputs.positions, { rows: config.positions, width: C });
      return reshape(add(tokens, places), [product(["B", inputs.length]), C]);
    },
    blocks: Array.from({ length: config.layers }, (_, layer) => ({
      path: `transformer.h.${layer}`,
      compute: (context, inputs, h) => block(config, context, inputs, h, layer),
    })),
    norm: (context, h) => norm(config, context, "transformer.ln_f", h),
  };
}

function block(config: Gpt2Config, context: ModelContext, inputs: DecoderInputs, h: Tensor, layer: number): Tensor {
  const path = `transformer.h.${layer}`;
  const mixed = selfAttention(config, context, `${path}.attn`, norm(config, context, `${path}.ln_1`, h), inputs, layer);
  const middle = context.sublayer(path, "attention", h, mixed);
  return context.sublayer(path, "mlp", middle, mlp(config, context, `${path}.mlp`, norm(config, context, `${path}.ln_2`, middle)));
}

function mlp(config: Gpt2Config, context: ModelContext, path: string, x: Tensor): Tensor {
  const { C, inner } = config;
  const act = activation(config.act);
  invariant(act !== undefined, `no activation ${config.act}`);
  const wide = context.linear(`${path}.c_fc`, x, { inFeatures: C, outFeatures: inner, bias: true, transposed: true });
  return context.linear(`${path}.c_proj`, act(wide), { inFeatures: inner, outFeatures: C, bias: true, transposed: true });
}

function norm(config: Gpt2Config, context: ModelContext, path: string, x: Tensor): Tensor {
  const weight = context.parameter(`${path}.weight`, [config.C], path);
  return layerNorm(x, weight, context.parameter(`${path}.bias`, [config.C], path), config.epsilon);
}

function selfAttention(config: Gpt2Config, context: ModelContext, path: string, x: Tensor, inputs: DecoderInputs, layer: number): Tensor {
  const { C, H } = config;
  const join = (rows: Tensor): Tensor => context.linear(`${path}.c_attn`, rows, { inFeatures: C, outFeatures: 3 * C, bias: true, transposed: true });
  const joined = join(x);
  const part = (i: number): Tensor => reshape(slice(joined, 1, i * C, C), ["B", inputs.length, H, C / H]);
  const mixed = context.attention(path, {
    query: part(0),
    key: part(1),
    value: part(2),
    masks: (prefix) => inputs.masks(1, undefined, prefix),
    scale: config.scoreScale(layer),
    cache: inputs.cache(layer),
    keyValueOf: (rows) => {
      const outside = join(rows);
      const heads = (i: number): Tensor => reshape(slice(outside, 1, i * C, C), [rows.shape[0]!, H, C / H]);
      return { key: heads(1), value: heads(2) };
    },
  });
  return context.linear(`${path}.c_proj`, mixed, { inFeatures: C, outFeatures: C, bias: true, transposed: true });
}

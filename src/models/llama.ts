/**
 * LLaMA (Touvron et al. 2023, arXiv 2302.13971) and the families that differ from it by configuration:
 * Mistral (sliding window), Qwen2 (biases on q, k, v), Qwen3 (normalised q and k), SmolLM3 (layers without rotation).
 *
 *   h ← h + o(attention(rotary(q(norm h)), rotary(k(norm h)), v(norm h)))
 *   h ← h + down(act(gate(norm h)) ⊙ up(norm h))
 */
import { invariant } from "../base/errors.ts";
import { reshape, rmsNorm, rotary } from "../core/operations.ts";
import { activation, activationNames, gated } from "../nn/activation.ts";
import { product } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { LinearSpec, ModelContext } from "../nn/context.ts";
import type { Decoder, DecoderInputs } from "../nn/decoder.ts";
import type { Architecture } from "./architecture.ts";
import type { ConfigFields } from "./config-fields.ts";
import { readRotary } from "./rope-scaling.ts";

/** What one layer does differently from the next. */
interface LayerKind {
  readonly rotary: boolean;
  readonly window: number | undefined;
}

interface LlamaConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  readonly rmsNormEps: number;
  readonly hiddenAct: string;
  readonly queryKeyValueBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  readonly queryKeyNorm: boolean;
  readonly layers: readonly LayerKind[];
}

export const modelTypes: readonly string[] = ["llama", "mistral", "qwen2", "qwen3", "smollm3"];

/** Reads a config.json of one of `modelTypes`. */
export function describe(config: ConfigFields): Architecture {
  const modelType = config.json["model_type"] as string;
  const hiddenSize = config.positiveInteger("hidden_size");
  const numAttentionHeads = config.positiveInteger("num_attention_heads");
  const numKeyValueHeads = config.positiveInteger(
    "num_key_value_heads",
    modelType === "mistral" ? 8 : modelType === "qwen2" || modelType === "qwen3" ? 32 : numAttentionHeads,
  );
  if (numAttentionHeads % numKeyValueHeads !== 0) throw config.error("num_key_value_heads", `a divisor of num_attention_heads ${numAttentionHeads}`);
  const headDim = config.positiveInteger("head_dim", modelType === "qwen3" ? 128 : hiddenSize / numAttentionHeads);
  if (headDim % 2 !== 0) throw config.error("head_dim", "an even number");
  const bias = config.boolean("attention_bias", false);
  const numHiddenLayers = config.positiveInteger("num_hidden_layers");
  const llama: LlamaConfig = {
    hiddenSize,
    intermediateSize: config.positiveInteger("intermediate_size"),
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    vocabSize: config.positiveInteger("vocab_size"),
    rmsNormEps: config.positive("rms_norm_eps", 1e-6),
    hiddenAct: config.choice("hidden_act", activationNames, "silu"),
    queryKeyValueBias: modelType === "qwen2" || bias,
    outputBias: modelType !== "qwen2" && bias,
    mlpBias: config.boolean("mlp_bias", false),
    queryKeyNorm: modelType === "qwen3",
    layers: layerKinds(config, modelType, numHiddenLayers),
  };
  const tieWordEmbeddings = config.boolean("tie_word_embeddings", modelType === "smollm3");
  return {
    modelType,
    hiddenSize,
    numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    intermediateSize: llama.intermediateSize,
    vocabSize: llama.vocabSize,
    maxPositionEmbeddings: config.positiveInteger("max_position_embeddings", 2048),
    tieWordEmbeddings,
    rotary: { main: readRotary(config, headDim, modelType === "smollm3" ? 2000000 : 10000) },
    bosTokenId: config.tokenIds("bos_token_id")[0],
    eosTokenIds: config.tokenIds("eos_token_id"),
    decoder: decoderOf(llama),
    head: {
      path: "lm_head",
      spec: { inFeatures: hiddenSize, outFeatures: llama.vocabSize, bias: false, ...(tieWordEmbeddings ? { tiedTo: "model.embed_tokens.weight" } : {}) },
    },
  };
}

/** Which layers see a window only, and which leave out the rotation. */
function layerKinds(config: ConfigFields, modelType: string, layers: number): LayerKind[] {
  // transformers: a window of 4096 where none is named; null means none.
  const usesWindow = modelType === "mistral" || config.boolean("use_sliding_window", false);
  const usual = modelType === "smollm3" ? undefined : 4096;
  const window = !usesWindow ? undefined : config.json["sliding_window"] === undefined ? usual : config.optionalPositiveInteger("sliding_window");
  const types = config.perLayer("layer_types", layers, ["full_attention", "sliding_attention"]);
  // Qwen: without layer_types, the layers from max_window_layers on see the window.
  const firstWindowed =
    window === undefined || !modelType.startsWith("qwen") || config.json["max_window_layers"] === 0 ? 0 : config.positiveInteger("max_window_layers", 28);
  const interval = config.positiveInteger("no_rope_layer_interval", 4);
  const rotated = config.perLayer("no_rope_layers", layers, [0, 1]);
  return Array.from({ length: layers }, (_, i) => ({
    rotary: modelType !== "smollm3" || (rotated === undefined ? (i + 1) % interval !== 0 : rotated[i] === 1),
    window: (types === undefined ? i >= firstWindowed : types[i] === "sliding_attention") ? window : undefined,
  }));
}

function decoderOf(config: LlamaConfig): Decoder {
  return {
    embed(context, inputs) {
      const embedded = context.embedding("model.embed_tokens", inputs.tokens, { rows: config.vocabSize, width: config.hiddenSize });
      return reshape(embedded, [product(["B", inputs.length]), config.hiddenSize]);
    },
    blocks: config.layers.map((kind, layer) => ({
      path: `model.layers.${layer}`,
      compute: (context, inputs, h) => block(config, context, inputs, h, layer, kind),
    })),
    norm: (context, h) => norm(config, context, "model.norm", h),
  };
}

function block(config: LlamaConfig, context: ModelContext, inputs: DecoderInputs, h: Tensor, layer: number, kind: LayerKind): Tensor {
  const path = `model.layers.${layer}`;
  const mixed = selfAttention(config, context, `${path}.self_attn`, norm(config, context, `${path}.input_layernorm`, h), inputs, layer, kind);
  const middle = context.sublayer(path, "attention", h, mixed);
  return context.sublayer(path, "mlp", middle, mlp(config, context, `${path}.mlp`, norm(config, context, `${path}.post_attention_layernorm`, middle)));
}

function norm(config: LlamaConfig, context: ModelContext, path: string, x: Tensor): Tensor {
  return rmsNorm(x, context.parameter(`${path}.weight`, [x.shape.at(-1) as number], path), config.rmsNormEps);
}

function selfAttention(config: LlamaConfig, context: ModelContext, path: string, x: Tensor, inputs: DecoderInputs, layer: number, kind: LayerKind): Tensor {
  const { hiddenSize, numAttentionHeads: H, numKeyValueHeads: K, headDim: D, queryKeyValueBias: bias } = config;
  const linear = (name: string, rows: Tensor, heads: number): Tensor =>
    context.linear(`${path}.${name}`, rows, { inFeatures: hiddenSize, outFeatures: heads * D, bias });
  const project = (name: string, heads: number): Tensor => reshape(linear(name, x, heads), ["B", inputs.length, heads, D]);
  let [query, key] = [project("q_proj", H), project("k_proj", K)];
  const value = project("v_proj", K);
  if (config.queryKeyNorm) [query, key] = [norm(config, context, `${path}.q_norm`, query), norm(config, context, `${path}.k_norm`, key)];
  if (kind.rotary) {
    const { cos, sin } = inputs.rotary("main");
    [query, key] = [rotary(query, cos, sin), rotary(key, cos, sin)];
  }
  const mixed = context.attention(path, {
    query,
    key,
    value,
    masks: (prefix) => inputs.masks(H / K, kind.window, prefix),
    cache: inputs.cache(layer),
    keyValueOf: (rows) => {
      const heads = (y: Tensor): Tensor => reshape(y, [rows.shape[0]!, K, D]);
      const keys = heads(linear("k_proj", rows, K));
      return { key: config.queryKeyNorm ? norm(config, context, `${path}.k_norm`, keys) : keys, value: heads(linear("v_proj", rows, K)) };
    },
  });
  return context.linear(`${path}.o_proj`, mixed, { inFeatures: H * D, outFeatures: hiddenSize, bias: config.outputBias });
}

function mlp(config: LlamaConfig, context: ModelContext, path: string, x: Tensor): Tensor {
  const act = activation(config.hiddenAct);
  invariant(act !== undefined, `no activation ${config.hiddenAct}`);
  const wide: LinearSpec = { inFeatures: config.hiddenSize, outFeatures: config.intermediateSize, bias: config.mlpBias };
  const inner = gated(act, context.linear(`${path}.gate_proj`, x, wide), context.linear(`${path}.up_proj`, x, wide));
  return context.linear(`${path}.down_proj`, inner, { inFeatures: config.intermediateSize, outFeatures: config.hiddenSize, bias: config.mlpBias });
}

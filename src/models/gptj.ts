/**
 * GPT-J (Wang & Komatsuzaki 2021): attention and MLP side by side behind one norm, the first channels of each head
 * rotated in neighbouring pairs, and a head with a bias.
 *
 *   h ← h + out_proj(attention(ln_1 h)) + fc_out(act(fc_in(ln_1 h)))
 */
import { invariant } from "../base/errors.ts";
import { concat, layerNorm, reshape, rotary, slice, transpose } from "../core/operations.ts";
import { product } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { activation, activationNames } from "../nn/activation.ts";
import type { ModelContext } from "../nn/context.ts";
import type { Decoder, DecoderInputs } from "../nn/decoder.ts";
import type { Architecture } from "./architecture.ts";
import type { ConfigFields } from "./config-fields.ts";

interface GptjConfig {
  readonly C: number;
  readonly H: number;
  readonly layers: number;
  readonly inner: number;
  readonly vocabSize: number;
  readonly epsilon: number;
  readonly act: string;
  /** Channels of each head that are rotated. */
  readonly rotaryDim: number;
}

export const modelTypes: readonly string[] = ["gptj"];

/** Reads a config.json with `model_type` gptj. */
export function describe(config: ConfigFields): Architecture {
  const C = config.positiveInteger("n_embd");
  const H = config.positiveInteger("n_head");
  if (C % H !== 0) throw config.error("n_head", `a divisor of n_embd ${C}`);
  const D = C / H;
  // With null transformers makes its table for n_embd channels, which fits no head.
  const rotaryDim = config.json["rotary_dim"] === null ? NaN : config.positiveInteger("rotary_dim", 64);
  if (!(rotaryDim % 2 === 0 && rotaryDim <= D)) throw config.error("rotary_dim", `an even number of at most n_embd / n_head = ${D}`);
  const gptj: GptjConfig = {
    C,
    H,
    layers: config.positiveInteger("n_layer"),
    inner: config.positiveInteger("n_inner", 4 * C),
    vocabSize: config.positiveInteger("vocab_size"),
    epsilon: config.positive("layer_norm_epsilon", 1e-5),
    act: config.choice("activation_function", activationNames, "gelu_new"),
    rotaryDim,
  };
  const tied = config.boolean("tie_word_embeddings", false);
  return {
    modelType: "gptj",
    hiddenSize: C,
    numHiddenLayers: gptj.layers,
    numAttentionHeads: H,
    numKeyValueHeads: H,
    headDim: D,
    intermediateSize: gptj.inner,
    vocabSize: gptj.vocabSize,
    maxPositionEmbeddings: config.positiveInteger("n_positions", 2048),
    tieWordEmbeddings: tied,
    rotary: { main: { width: rotaryDim, theta: 10000, scaling: { kind: "none" } } },
    bosTokenId: config.tokenIds("bos_token_id")[0],
    eosTokenIds: config.tokenIds("eos_token_id"),
    decoder: decoderOf(gptj),
    head: {
      path: "lm_head",
      spec: { inFeatures: C, outFeatures: gptj.vocabSize, bias: true, ...(tied ? { tiedTo: "transformer.wte.weight" } : {}) },
    },
  };
}

function decoderOf(config: GptjConfig): Decoder {
  const { C } = config;
  return {
    embed(context, inputs) {
      const tokens = context.embedding("transformer.wte", inputs.tokens, { rows: config.vocabSize, width: C });
      return reshape(tokens, [product(["B", inputs.length]), C]);
    },
    blocks: Array.from({ length: config.layers }, (_, layer) => ({
      path: `transformer.h.${layer}`,
      compute: (context, inputs, h) => block(config, context, inputs, h, layer),
    })),
    norm: (context, h) => norm(config, context, "transformer.ln_f", h),
  };
}

function block(config: GptjConfig, context: ModelContext, inputs: DecoderInputs, h: Tensor, layer: number): Tensor {
  const path = `transformer.h.${layer}`;
  const read = norm(config, context, `${path}.ln_1`, h);
  const middle = context.sublayer(path, "attention", h, selfAttention(config, context, `${path}.attn`, read, inputs, layer));
  return context.sublayer(path, "mlp", middle, mlp(config, context, `${path}.mlp`, read));
}

function norm(config: GptjConfig, context: ModelContext, path: string, x: Tensor): Tensor {
  const weight = context.parameter(`${path}.weight`, [config.C], path);
  return layerNorm(x, weight, context.parameter(`${path}.bias`, [config.C], path), config.epsilon);
}

function selfAttention(config: GptjConfig, context: ModelContext, path: string, x: Tensor, inputs: DecoderInputs, layer: number): Tensor {
  const { C, H, rotaryDim } = config;
  const D = C / H;
  const project = (name: string, rows: Tensor): Tensor => context.linear(`${path}.${name}`, rows, { inFeatures: C, outFeatures: C, bias: false });
  const heads = (name: string): Tensor => reshape(project(name, x), ["B", inputs.length, H, D]);
  const turned = (heads: Tensor): Tensor => rotatePairs(heads, rotaryDim, inputs.rotary("main"));
  const mixed = context.attention(path, {
    query: turned(heads("q_proj")),
    key: turned(heads("k_proj")),
    value: heads("v_proj"),
    masks: (prefix) => inputs.masks(1, undefined, prefix),
    cache: inputs.cache(layer),
    keyValueOf: (rows) => {
      const outside = (name: string): Tensor => reshape(project(name, rows), [rows.shape[0]!, H, D]);
      return { key: outside("k_proj"), value: outside("v_proj") };
    },
  });
  return project("out_proj", mixed);
}

/**
 * Rotates channels 2i and 2i + 1 of the first `width` by the i-th angle: x [B, T, H, D]. The operator rotates i and
 * i + width/2, so the pairs are drawn apart before it and put together behind it; keys thus keep the checkpoint's order,
 * in which keys from outside the sequence stand beside them.
 */
function rotatePairs(x: Tensor, width: number, { cos, sin }: { readonly cos: Tensor; readonly sin: Tensor }): Tensor {
  const [B, T, H, D] = x.shape as [Tensor["shape"][number], Tensor["shape"][number], number, number];
  const turn = (part: Tensor, rows: number, columns: number): Tensor =>
    reshape(transpose(reshape(part, [B, T, H, rows, columns]), [0, 1, 2, 4, 3]), [B, T, H, width]);
  const turned = turn(rotary(turn(slice(x, 3, 0, width), width / 2, 2), cos, sin), 2, width / 2);
  return width === D ? turned : concat([turned, slice(x, 3, width, D - width)], 3);
}

function mlp(config: GptjConfig, context: ModelContext, path: string, x: Tensor): Tensor {
  const act = activation(config.act);
  invariant(act !== undefined, `no activation ${config.act}`);
  const wide = context.linear(`${path}.fc_in`, x, { inFeatures: config.C, outFeatures: config.inner, bias: true });
  return context.linear(`${path}.fc_out`, act(wide), { inFeatures: config.inner, outFeatures: config.C, bias: true });
}

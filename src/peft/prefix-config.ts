/** Prefix tuning's configuration, to and from PEFT's adapter_config.json. */
import type { BaseModel } from "../nn/decoder.ts";
import { AdapterConfig } from "./adapter-config.ts";

export interface PrefixConfig {
  /** Places in front of every text (P). */
  readonly numVirtualTokens: number;
  /** The prefix is computed by an MLP, which is what is trained (the paper's reparametrisation, section 4.3). */
  readonly prefixProjection: boolean;
  /** Width of that MLP; K·D by default. */
  readonly encoderHiddenSize?: number | undefined;
  /** Keys and values start at zero, and not at N(0, 1). */
  readonly zeroInit: boolean;
}

type Base = Pick<BaseModel, "numHiddenLayers" | "numKeyValueHeads" | "headDim">;

/** Values of a key or value of one place: K·D, PEFT's token_dim. */
export const prefixWidth = ({ numKeyValueHeads, headDim }: Base): number => numKeyValueHeads * headDim;

/**
 * Reads adapter_config.json.
 * @throws GiantError("adapter") naming a field with a wrong value, or an option that is set and not supported.
 */
export function readPrefixConfig(json: Readonly<Record<string, unknown>>, where: string, base: Base): PrefixConfig {
  const dimensions = ["num_layers", "num_attention_heads", "token_dim", "num_transformer_submodules"];
  const own = ["num_virtual_tokens", "prefix_projection", "encoder_hidden_size", "init_weights"];
  const config = new AdapterConfig(json, where, [...own, ...dimensions]);
  config.expect("num_layers", base.numHiddenLayers, "the base's layers");
  config.expect("num_attention_heads", base.numKeyValueHeads, "the base's key/value heads");
  config.expect("token_dim", prefixWidth(base), "the width of the base's keys");
  config.expect("num_transformer_submodules", 1, "as a decoder has");
  return {
    numVirtualTokens: config.positiveInteger("num_virtual_tokens"),
    prefixProjection: config.boolean("prefix_projection", false),
    encoderHiddenSize: config.isSet("encoder_hidden_size") ? config.positiveInteger("encoder_hidden_size") : undefined,
    zeroInit: config.isSet("init_weights") && config.choice("init_weights", ["zero"], "zero") === "zero",
  };
}

/** Writes adapter_config.json with the fields PEFT reads. */
export function writePrefixConfig(config: PrefixConfig, name: string, base: Base): Record<string, unknown> {
  return {
    auto_mapping: null,
    base_model_name_or_path: name,
    encoder_hidden_size: config.encoderHiddenSize ?? prefixWidth(base),
    inference_mode: true,
    init_weights: config.zeroInit ? "zero" : null,
    modules_to_save: null,
    num_attention_heads: base.numKeyValueHeads,
    num_layers: base.numHiddenLayers,
    num_transformer_submodules: 1,
    num_virtual_tokens: config.numVirtualTokens,
    peft_type: "PREFIX_TUNING",
    prefix_projection: config.prefixProjection,
    revision: null,
    task_type: "CAUSAL_LM",
    token_dim: prefixWidth(base),
  };
}

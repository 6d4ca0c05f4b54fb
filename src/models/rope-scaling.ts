/** Reads `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5) of a config.json. */
import { yarnAttentionFactor, type RotaryScaling, type RotarySpec } from "../nn/rotary.ts";
import type { ConfigFields } from "./config-fields.ts";

const KINDS = ["default", "linear", "llama3", "yarn"] as const;

/** The rotary embedding of a config: `width` channels turned, θ and the scaling rule. */
export function readRotary(config: ConfigFields, width: number, defaultTheta: number = 10000): RotarySpec {
  const fields = config.object("rope_parameters") ?? config.object("rope_scaling");
  const theta = fields?.positive("rope_theta", config.positive("rope_theta", defaultTheta)) ?? config.positive("rope_theta", defaultTheta);
  return { width, theta, scaling: fields === undefined ? { kind: "none" } : readScaling(fields, config) };
}

function readScaling(fields: ConfigFields, config: ConfigFields): RotaryScaling {
  const kind = fields.choice(fields.json["rope_type"] === undefined && fields.json["type"] !== undefined ? "type" : "rope_type", KINDS, "default");
  switch (kind) {
    case "default":
      return { kind: "none" };
    case "linear":
      return { kind: "linear", factor: fields.positive("factor") };
    case "llama3":
      return {
        kind: "llama3",
        factor: fields.positive("factor"),
        lowFrequencyFactor: fields.positive("low_freq_factor"),
        highFrequencyFactor: fields.positive("high_freq_factor"),
        originalMaxPositions: fields.positiveInteger("original_max_position_embeddings"),
      };
    case "yarn":
      return readYarn(fields, config);
  }
}

/** transformers' `_compute_yarn_parameters`, the DeepSeek variant with `mscale` included. */
function readYarn(fields: ConfigFields, config: ConfigFields): RotaryScaling {
  const maxPositions = config.positiveInteger("max_position_embeddings", 2048);
  const original = fields.positiveInteger("original_max_position_embeddings", maxPositions);
  const factor = fields.positive("factor", maxPositions / original);
  const mscale = (weight: number): number => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  let attentionFactor = yarnAttentionFactor(factor);
  if (fields.json["mscale"] && fields.json["mscale_all_dim"]) {
    attentionFactor = mscale(fields.positive("mscale")) / mscale(fields.positive("mscale_all_dim"));
  }
  return {
    kind: "yarn",
    factor,
    betaFast: fields.positive("beta_fast", 32),
    betaSlow: fields.positive("beta_slow", 1),
    originalMaxPositions: original,
    attentionFactor: fields.positive("attention_factor", attentionFactor),
    truncate: fields.boolean("truncate", true),
  };
}

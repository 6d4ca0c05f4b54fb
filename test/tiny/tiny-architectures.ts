/** Golden models shrunk to a few channels, so that whole training steps can be computed in float64 by the interpreter. */
import { join } from "node:path";
import { type Architecture, takeInventory } from "../../src/models/architecture.ts";
import { describeModel } from "../../src/models/registry.ts";
import { type ShapedBase } from "../adapter-cases.ts";
import { goldenFolder, readJson } from "../golden.ts";

/** What is made smaller, by the names that the families give it. */
const SMALL: Readonly<Record<string, number>> = {
  hidden_size: 8,
  n_embd: 8,
  intermediate_size: 12,
  n_inner: 12,
  num_attention_heads: 2,
  n_head: 2,
  num_key_value_heads: 1,
  head_dim: 4,
  num_hidden_layers: 2,
  n_layer: 2,
  max_position_embeddings: 24,
  n_positions: 24,
  vocab_size: 11,
  sliding_window: 3,
  rotary_pct: 0.5,
  partial_rotary_factor: 0.5,
  rotary_dim: 2,
};

/** One value per layer. */
const PER_LAYER = ["layer_types", "no_rope_layers"];

/** A golden model's architecture with the same features in small sizes. */
export function tinyArchitecture(golden: string): ShapedBase {
  const config = readJson<Record<string, unknown>>(join(goldenFolder(), "models", golden), "config.json");
  for (const [name, value] of Object.entries(SMALL)) if (typeof config[name] === "number") config[name] = value;
  for (const name of PER_LAYER) if (Array.isArray(config[name])) config[name] = config[name].slice(-2);
  const architecture: Architecture = describeModel(config, `a small ${golden}`);
  return { architecture, inventory: takeInventory(architecture) };
}

/**
 * A weighted sum of LoRA adapters as one LoRA adapter: Σ w_i·s_i·B_i·A_i = [B_1 B_2 …]·[w_1·s_1·A_1; w_2·s_2·A_2; …], whose rank
 * is the sum of the ranks. It has scale 1, as what PEFT's `add_weighted_adapter` makes with `combination_type="cat"`.
 */
import { GiantError } from "../base/errors.ts";
import type { Inventory } from "../nn/inventory.ts";
import { LORA_DEFAULTS, type LoraConfig } from "./lora-config.ts";
import type { LowRankTerm } from "./method.ts";
import { type Summand, summingOf } from "./sum.ts";

/** A term of one part, as it stands in the concatenation. */
export interface PartTerm extends LowRankTerm {
  readonly part: number;
}

export interface Concatenation {
  readonly config: LoraConfig;
  /** The terms that are joined at each layer, by its path. */
  readonly terms: ReadonlyMap<string, readonly PartTerm[]>;
}

/**
 * The configuration that a concatenation has, and what it consists of.
 * @throws GiantError("adapter") for parts that cannot be summed, and for a rank that is larger than a layer's matrix.
 */
export function concatenationOf(parts: readonly Summand[], inventory: Inventory): Concatenation {
  const terms = new Map<string, PartTerm[]>();
  for (const [part, summand] of parts.entries()) {
    for (const [path, term] of summingOf(summand).terms) terms.set(path, [...(terms.get(path) ?? []), { ...term, part }]);
  }
  const ranks = new Map([...terms].map(([path, joined]) => [path, joined.reduce((sum, { rank }) => sum + rank, 0)]));
  for (const { path, spec } of inventory.linears) {
    const rank = ranks.get(path) ?? 0;
    if (rank <= Math.min(spec.inFeatures, spec.outFeatures)) continue;
    throw new GiantError("adapter", `the sum has rank ${rank} at ${path}, larger than its matrix [${spec.outFeatures}, ${spec.inFeatures}]`, {
      hint: "Merge the adapters into the model, without --as-adapter.",
    });
  }
  const r = mostFrequent([...ranks.values()]);
  const others = Object.fromEntries([...ranks].filter(([, rank]) => rank !== r).map(([path, rank]) => [path.replaceAll(".", "\\."), rank]));
  // Alpha is the rank everywhere, so that the scale is 1.
  return { config: { ...LORA_DEFAULTS, targetModules: [...terms.keys()], r, loraAlpha: r, rankPattern: others, alphaPattern: others }, terms };
}

function mostFrequent(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].reduce((best, next) => (next[1] > best[1] ? next : best))[0];
}

/** How many scalars each method trains, by its paper's formula: counted from shapes, without asking the method. */
import type { BottleneckConfig } from "../src/peft/bottleneck-config.ts";
import type { LoraConfig } from "../src/peft/lora-config.ts";
import type { ShapedBase } from "./adapter-cases.ts";

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const isNamed = (path: string, part: string): boolean => path === part || path.endsWith(`.${part}`);

/** All of the base. */
export function fullParameters({ inventory }: ShapedBase): number {
  return [...inventory.parameters.values()].reduce((sum, shape) => sum + size(shape), 0);
}

/** N blocks copied whole, and N·(C² + C) for the projections that start at zero. */
export function controlParameters({ inventory, architecture }: ShapedBase, numBlocks: number): number {
  const blockOf = (parameter: string): number => Number(/\.(?:layers|h)\.(\d+)\./.exec(parameter)?.[1] ?? Infinity);
  const copied = [...inventory.parameters].filter(([parameter]) => blockOf(parameter) < numBlocks);
  const C = architecture.hiddenSize;
  return copied.reduce((sum, [, shape]) => sum + size(shape), 0) + numBlocks * (C * C + C);
}

/** r·(in + out) per adapted layer, the outputs for DoRA, and what is trained whole. */
export function loraParameters({ inventory, architecture }: ShapedBase, config: LoraConfig): number {
  const named = (path: string): boolean => Array.isArray(config.targetModules) && config.targetModules.some((part: string) => isNamed(path, part));
  const saved = (path: string): boolean => config.modulesToSave.some((part) => isNamed(path, part));
  const rankOf = (path: string): number => Object.entries(config.rankPattern).find(([part]) => isNamed(path, part))?.[1] ?? config.r;
  const linears = inventory.linears.filter(({ path }) => config.targetModules === "all-linear" || named(path));
  const head = named(architecture.head.path) ? [architecture.head] : [];
  let count = 0;
  for (const { path, spec } of [...linears, ...head]) count += rankOf(path) * (spec.inFeatures + spec.outFeatures) + (config.useDora ? spec.outFeatures : 0);
  for (const { path, rows, width } of inventory.embeddings) if (named(path)) count += config.r * (rows + width);
  for (const [parameter, shape] of inventory.parameters) {
    const module = parameter.slice(0, parameter.lastIndexOf("."));
    const bias = parameter.endsWith(".bias") && (config.bias === "all" || (config.bias === "lora_only" && linears.some(({ path }) => path === module)));
    if (saved(module) || bias) count += size(shape);
  }
  const { path, spec } = architecture.head;
  if (spec.tiedTo !== undefined && saved(path)) count += spec.inFeatures * spec.outFeatures;
  return count;
}

/** Per layer a factor for every key and value, and for every inner activation: 2·K·D + F; joined projections have the queries in them, and Qwen's scale these in place of the keys. */
export function ia3Parameters({ architecture }: ShapedBase): number {
  const { modelType, numHiddenLayers: L, numAttentionHeads: H, numKeyValueHeads: K, headDim: D, intermediateSize: F } = architecture;
  const scaled: Readonly<Record<string, number>> = {
    gpt2: 3 * H * D + F,
    gpt_neox: 3 * H * D + F,
    gptj: 2 * H * D + F,
    qwen2: H * D + K * D + F,
    qwen3: H * D + K * D + F,
  };
  return L * (scaled[modelType] ?? 2 * K * D + F);
}

/** 2·C·m + C + m per adapter (Houlsby et al. 2019, section 2.1), twice per block for Houlsby's; m = C over the reduction factor. */
export function bottleneckParameters({ architecture }: ShapedBase, config: BottleneckConfig): number {
  const { hiddenSize: C, numHiddenLayers: L } = architecture;
  const factors = config.reductionFactor;
  let count = 0;
  for (let layer = 0; layer < L; layer++) {
    if (config.leaveOut.includes(layer)) continue;
    const m = Math.floor(C / (typeof factors === "number" ? factors : (factors[layer] ?? factors["default"]!)));
    count += (Number(config.afterAttention) + Number(config.afterMlp)) * (2 * C * m + C + m);
  }
  return count;
}

/** A key and a value per place and layer: P·L·2·K·D. */
export function prefixParameters({ architecture: { numHiddenLayers: L, numKeyValueHeads: K, headDim: D } }: ShapedBase, P: number): number {
  return P * L * 2 * K * D;
}

/** The embedding P·KD, and the two layers of the MLP with their biases. */
export function prefixEncoderParameters(
  { architecture: { numHiddenLayers: L, numKeyValueHeads: K, headDim: D } }: ShapedBase,
  P: number,
  inner: number,
): number {
  const width = K * D;
  return P * width + (width + 1) * inner + (inner + 1) * 2 * L * width;
}

/** How much memory a training step will need: a formula over the model's dimensions and the batch, calibrated by measurement. */
import { formatBytes } from "../base/units.ts";
import { GiantError } from "../base/errors.ts";
import { queryBlocksFor } from "../nn/mask.ts";
import type { MemoryParts } from "./events.ts";

/** What the formula needs to know. */
export interface MemorySetting {
  readonly layers: number; // L
  readonly width: number; // C
  readonly heads: number; // H
  readonly keyValueHeads: number;
  readonly headWidth: number; // D
  readonly feedForward: number;
  readonly vocabulary: number; // V
  readonly totalParameters: number;
  readonly trainableParameters: number;
  /** Bytes of one frozen weight in memory. */
  readonly weightBytes: number;
  readonly rows: number; // B
  readonly length: number; // T
  /** The most labelled positions in a micro-batch. */
  readonly labels: number;
  readonly recompute: boolean;
  /** Whether frozen weights lie in memory a second time, packed for the products. */
  readonly packed: boolean;
}

export interface MemoryForecast {
  readonly peakBytes: number;
  readonly parts: MemoryParts;
}

const FLOAT = 4; // bytes

/** Copies of each quantity that live at the peak. */
const COPIES = {
  /** A packed weight beside the mapped one, padded to whole panels. */
  packed: 2.2,
  /** Value, gradient of the micro-batch, accumulated gradient. */
  trainable: 3,
  /** Two moments. */
  optimiser: 2,
  /** Inputs of attention and MLP, each before and after its norm. */
  stream: 4,
  /** Queries and outputs of attention, each whole and in blocks or head by head. */
  queries: 4,
  /** Keys and values, whole and as the prefixes of query blocks. */
  keysAndValues: 5,
  /** gate, up, product. */
  feedForward: 3,
  /** Logits and probabilities. */
  logits: 2,
  /** What of one layer lives twice while its backward pass runs. */
  backward: 3,
};

/** Node and ONNX Runtime, and per layer the graph in both of them. */
const BASE_BYTES = 150 * 2 ** 20;
const LAYER_BYTES = 4 * 2 ** 20;

/** The forecast of the peak of a forward and backward pass with its update. */
export function forecastMemory(setting: MemorySetting): MemoryForecast {
  // Attention weights of b causal blocks: (1 + … + b)/b² of the square.
  const blocks = queryBlocksFor(setting.length);
  const attended = (blocks + 1) / (2 * blocks);
  const tokens = setting.rows * setting.length;
  const frozen = setting.totalParameters - Math.min(setting.trainableParameters, setting.totalParameters);
  const projections = (COPIES.queries * setting.heads + COPIES.keysAndValues * setting.keyValueHeads) * setting.headWidth;
  const perToken = COPIES.stream * setting.width + projections + COPIES.feedForward * setting.feedForward;
  const perLayer = FLOAT * (tokens * perToken + attended * setting.rows * setting.heads * setting.length ** 2);
  const blockInputs = FLOAT * tokens * setting.width * setting.layers;
  const parts: MemoryParts = {
    weights: frozen * setting.weightBytes * (setting.packed ? COPIES.packed : 1),
    trainables: FLOAT * COPIES.trainable * setting.trainableParameters,
    optimiser: FLOAT * COPIES.optimiser * setting.trainableParameters,
    activations: (setting.recompute ? blockInputs : perLayer * setting.layers) + COPIES.backward * perLayer,
    logits: FLOAT * COPIES.logits * setting.labels * setting.vocabulary,
    workspace: BASE_BYTES + LAYER_BYTES * setting.layers,
  };
  return { peakBytes: Object.values(parts).reduce((sum: number, bytes: number) => sum + bytes, 0), parts };
}

/** A change of the recipe that would need less memory, in the user's words. */
export interface Saving {
  readonly words: string;
  readonly setting: MemorySetting;
}

/** Changes worth trying, from the one that costs the user least. */
export function savingsOf(setting: MemorySetting, loraParameters?: number): Saving[] {
  const savings: Saving[] = [];
  const half = { ...setting, rows: Math.ceil(setting.rows / 2), labels: Math.ceil(setting.labels / 2) };
  const short = { ...setting, length: Math.ceil(setting.length / 2), labels: Math.ceil(setting.labels / 2) };
  if (setting.packed) savings.push({ words: "--no-pack-weights", setting: { ...setting, packed: false } });
  if (setting.rows > 1) savings.push({ words: `--batch-size ${half.rows} with twice the --gradient-accumulation`, setting: half });
  if (!setting.recompute) savings.push({ words: "--recompute", setting: { ...setting, recompute: true, packed: false } });
  if (setting.length > 64) savings.push({ words: `--max-length ${short.length}`, setting: short });
  if (loraParameters !== undefined) savings.push({ words: "--method lora", setting: { ...setting, trainableParameters: loraParameters } });
  return savings;
}

/**
 * Refuses a run whose forecast does not fit into the memory that is there, and says what would.
 * @param loraParameters trainable scalars that LoRA would have, when the run is a full one.
 */
export function checkMemory(setting: MemorySetting, availableBytes: number, loraParameters?: number): MemoryForecast {
  const forecast = forecastMemory(setting);
  if (forecast.peakBytes <= availableBytes) return forecast;
  const advice = savingsOf(setting, loraParameters).map(({ words, setting: less }) => `${words} (${formatBytes(forecastMemory(less).peakBytes)})`);
  throw new GiantError("memory", `this run would need ${formatBytes(forecast.peakBytes)} of memory, found ${formatBytes(availableBytes)} available`, {
    hint:
      advice.length > 0
        ? `Try ${advice.join(", or ")}; --memory-limit SIZE overrides what was found.`
        : "Choose a smaller model; --memory-limit SIZE overrides what was found.",
    facts: { peakBytes: forecast.peakBytes, availableBytes, parts: forecast.parts },
  });
}

/** Rotary position embeddings: the angles' frequencies with every scaling rule, and the tables for given positions. */
import { invariant } from "../base/errors.ts";

/** How the frequencies are stretched for contexts longer than those trained on. */
export type RotaryScaling =
  | { readonly kind: "none" }
  | { readonly kind: "linear"; readonly factor: number }
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalMaxPositions: number;
    }
  | {
      readonly kind: "yarn";
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly originalMaxPositions: number;
      /** Multiplies cos and sin; from the config, or by the paper's rule. */
      readonly attentionFactor: number;
      /** Whether the correction range is rounded to whole dimensions. */
      readonly truncate: boolean;
    };

export interface RotarySpec {
  /** Channels that are turned; at most the head's width, even. */
  readonly width: number;
  readonly theta: number;
  readonly scaling: RotaryScaling;
}

/** Angle per position of each channel pair, [width/2]; float32 at the places where transformers rounds (modeling_rope_utils.py). */
export function inverseFrequencies({ width, theta, scaling }: RotarySpec): Float32Array {
  const half = width / 2;
  invariant(Number.isInteger(half), `a rotary width must be even, is ${width}`);
  const base = Float32Array.from({ length: half }, (_, i) => 1 / Math.fround(theta ** Math.fround((2 * i) / width)));
  switch (scaling.kind) {
    case "none":
      return base;
    case "linear":
      return base.map((frequency) => frequency / scaling.factor);
    case "llama3":
      return base.map((frequency) => llama3(frequency, scaling));
    case "yarn":
      return yarn(width, theta, scaling);
  }
}

/** Long wavelengths are divided by the factor, short ones kept, those between interpolated (Llama 3.1). */
function llama3(frequency: number, s: Extract<RotaryScaling, { kind: "llama3" }>): number {
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < s.originalMaxPositions / s.highFrequencyFactor) return frequency;
  if (wavelength > s.originalMaxPositions / s.lowFrequencyFactor) return frequency / s.factor;
  const smooth = (s.originalMaxPositions / wavelength - s.lowFrequencyFactor) / (s.highFrequencyFactor - s.lowFrequencyFactor);
  return ((1 - smooth) * frequency) / s.factor + smooth * frequency;
}

/** NTK-by-parts interpolation (Peng et al. 2023, arXiv 2309.00071, section 3.2). */
function yarn(width: number, theta: number, s: Extract<RotaryScaling, { kind: "yarn" }>): Float32Array {
  const dimensionOf = (rotations: number): number => (width * Math.log(s.originalMaxPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  let [low, high] = [dimensionOf(s.betaFast), dimensionOf(s.betaSlow)];
  if (s.truncate) [low, high] = [Math.floor(low), Math.ceil(high)];
  low = Math.max(low, 0);
  high = Math.min(high, width - 1);
  if (low === high) high += 0.001;
  return Float32Array.from({ length: width / 2 }, (_, i) => {
    const power = Math.fround(theta ** Math.fround((2 * i) / width));
    const interpolated = Math.min(Math.max((i - low) / (high - low), 0), 1);
    return (1 / (s.factor * power)) * interpolated + (1 / power) * (1 - interpolated);
  });
}

/** YaRN's rule for the attention factor: 0.1·ln(factor) + 1. */
export function yarnAttentionFactor(factor: number): number {
  return factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1;
}

/** cos and sin of each position's angles, [positions, width/2] each. */
export function rotaryTables(spec: RotarySpec, positions: Int32Array): { readonly cos: Float32Array; readonly sin: Float32Array } {
  const frequencies = inverseFrequencies(spec);
  const half = frequencies.length;
  const factor = spec.scaling.kind === "yarn" ? spec.scaling.attentionFactor : 1;
  const cos = new Float32Array(positions.length * half);
  const sin = new Float32Array(positions.length * half);
  positions.forEach((position, n) => {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(position * frequencies[i]!);
      cos[n * half + i] = Math.cos(angle) * factor;
      sin[n * half + i] = Math.sin(angle) * factor;
    }
  });
  return { cos, sin };
}

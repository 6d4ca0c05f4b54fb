/**
 * The weights a new model starts from, as GPT-NeoX-20B's (Black et al. 2022, 2204.06745, 2.1.3):
 *
 *   σ = √(2 / 5C)       every matrix and the embedding   ("SmallInit", Nguyen & Salazar 2019, 1910.05895)
 *   σ = 2 / (L·√C)      what writes into the stream: attention's output and the MLP's   ("wang_init")
 *
 * The deviations follow the width and the depth, so that one rule serves a model of 64 columns as well as one of 2048;
 * norms start at one, biases at zero.
 */
import { Random } from "../base/random.ts";
import type { Architecture } from "./architecture.ts";

/** Modules whose product is added to the residual stream. */
const OUTPUT_MODULE = /\.(?:o_proj|down_proj|c_proj|dense|dense_4h_to_h|out_proj|fc_out)$/;

/** √(2 / 5C): the deviation of all matrices but the output ones. */
export function smallInit(hiddenSize: number): number {
  return Math.sqrt(2 / (5 * hiddenSize));
}

/** 2 / (L·√C): the deviation of the output matrices. */
export function wangInit(hiddenSize: number, layers: number): number {
  return 2 / (layers * Math.sqrt(hiddenSize));
}

/**
 * First values of a parameter, decided by the seed and the parameter's name alone.
 * @param shape of the parameter; matrices have rank 2.
 */
export function initialWeights(architecture: Architecture, name: string, shape: readonly number[], seed: number): Float32Array {
  const size = shape.reduce((a, b) => a * b, 1);
  if (shape.length < 2) return new Float32Array(size).fill(name.endsWith(".bias") ? 0 : 1);
  const { hiddenSize, numHiddenLayers } = architecture;
  const writesIntoStream = OUTPUT_MODULE.test(name.slice(0, name.lastIndexOf(".")));
  const deviation = writesIntoStream ? wangInit(hiddenSize, numHiddenLayers) : smallInit(hiddenSize);
  const random = Random.named(seed, name);
  return Float32Array.from({ length: size }, () => deviation * random.normal());
}

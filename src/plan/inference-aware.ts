/** Smaller models on more tokens: dearer to train to the same loss, cheaper to use. */
import { goldenMinimum } from "./minimum.ts";
import { inferenceFlops, lossOf, tokensForLoss, trainingFlops, type Allocation, type LawConstants } from "./scaling-law.ts";

export interface Alternative extends Allocation {
  readonly trainingFlops: number;
  /** FLOPs of training and of use together. */
  readonly totalFlops: number;
  /** Training FLOPs beyond the optimum's, as a share of those. */
  readonly extraTraining: number;
}

/** A model of the given size with the optimum's loss; undefined where no number of tokens makes up for its size. */
export function atEqualLoss(law: LawConstants, optimum: Allocation, parameters: number, inferenceTokens: number): Alternative | undefined {
  const tokens = tokensForLoss(law, parameters, lossOf(law, optimum));
  if (tokens === undefined) return undefined;
  const training = trainingFlops(parameters, tokens);
  return {
    parameters,
    tokens,
    trainingFlops: training,
    totalFlops: training + inferenceFlops(parameters, inferenceTokens),
    extraTraining: training / trainingFlops(optimum.parameters, optimum.tokens) - 1,
  };
}

/**
 * The model of least 6·N·D + 2·N·D_inference among those with the optimum's loss
 * (Sardana et al. 2023, arXiv 2401.00448, equation 2); the optimum itself where nothing is inferred.
 */
export function inferenceAwareOptimum(law: LawConstants, optimum: Allocation, inferenceTokens: number): Alternative {
  const total = (logParameters: number): number => atEqualLoss(law, optimum, Math.exp(logParameters), inferenceTokens)?.totalFlops ?? Infinity;
  // The smallest size with the loss needs endless tokens, so the valley lies between it and the optimum.
  const least = (law.A / (lossOf(law, optimum) - law.E)) ** (1 / law.alpha);
  const best = goldenMinimum(total, Math.log(least), Math.log(optimum.parameters));
  return atEqualLoss(law, optimum, Math.exp(best), inferenceTokens) ?? atEqualLoss(law, optimum, optimum.parameters, inferenceTokens)!;
}

/** Loss where the data is short and is read more than once (Muennighoff et al. 2023, arXiv 2305.16264). */
import { firstWhere, goldenMinimum } from "./minimum.ts";
import { lossOf, optimumForTokens, shareOfFlops, trainingFlops, type Allocation, type LawConstants } from "./scaling-law.ts";

/** R*_D: after so many repetitions a further one is worth 1/e of a fresh one. */
const DATA_DECAY = 15.387756;
/** R*_N: the same for parameters beyond those that the unique tokens are optimal for. */
const PARAMETER_DECAY = 5.309743;

/** U + U·R*·(1 − e^(−R/R*)), where R = total/U − 1 are the repetitions: what the total is worth in unique ones. */
function effective(total: number, unique: number, decay: number): number {
  const repetitions = Math.max(total / unique - 1, 0);
  return unique + unique * decay * (1 - Math.exp(-repetitions / decay));
}

export interface RepeatedAllocation extends Allocation {
  /** How often each token is read; 1 where there is enough data. */
  readonly epochs: number;
  /** What the tokens are worth in unique ones, D'. */
  readonly effectiveTokens: number;
  readonly loss: number;
}

/** A model trained on `tokens` of which `uniqueTokens` at most are different ones. */
export function repeatData(law: LawConstants, { parameters, tokens }: Allocation, uniqueTokens: number): RepeatedAllocation {
  const unique = Math.min(tokens, uniqueTokens);
  const uniqueParameters = Math.min(parameters, optimumForTokens(law, unique).parameters);
  const effectiveTokens = effective(tokens, unique, DATA_DECAY);
  const loss = lossOf(law, { parameters: effective(parameters, uniqueParameters, PARAMETER_DECAY), tokens: effectiveTokens });
  return { parameters, tokens, epochs: tokens / unique, effectiveTokens, loss };
}

/** The best model at a budget when there are only so many different tokens: fewer parameters and more epochs than with endless data. */
export function repeatedOptimumForFlops(law: LawConstants, flops: number, uniqueTokens: number): RepeatedAllocation {
  const at = (logParameters: number): RepeatedAllocation => {
    const parameters = Math.exp(logParameters);
    return repeatData(law, { parameters, tokens: shareOfFlops(flops, parameters) }, uniqueTokens);
  };
  // From one parameter to one token; the valley between is the only one.
  return at(goldenMinimum((x) => at(x).loss, 0, Math.log(shareOfFlops(flops, 1))));
}

/** The cheapest best model that reaches a loss on so many different tokens; undefined where repetition does not get there. */
export function repeatedOptimumForLoss(law: LawConstants, loss: number, uniqueTokens: number): RepeatedAllocation | undefined {
  const at = (logFlops: number): RepeatedAllocation => repeatedOptimumForFlops(law, Math.exp(logFlops), uniqueTokens);
  // A thousand times more epochs and parameters than the data is good for add nothing any more.
  const unique = optimumForTokens(law, uniqueTokens);
  const least = Math.log(trainingFlops(10, 10));
  const most = Math.log(trainingFlops(unique.parameters, unique.tokens) * 1e6);
  const logFlops = firstWhere((x) => at(x).loss <= loss, Math.min(least, most), most);
  return logFlops === undefined ? undefined : at(logFlops);
}

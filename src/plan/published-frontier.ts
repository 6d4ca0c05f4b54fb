/** Chinchilla's approaches 1 and 2: power laws of the optimal size that were fitted without a law of the loss. */
import { shareOfFlops, type Allocation } from "./scaling-law.ts";

/** N = anchor · (C / 5.76e23)^a; tokens are what C = 6·N·D leaves. */
export interface Frontier {
  readonly id: string;
  readonly name: string;
  readonly source: string;
  /** The optimal size at `GOPHER_FLOPS`. */
  readonly anchor: number;
  /** The exponent a. */
  readonly exponent: number;
}

/** The budget of Gopher, for which Hoffmann et al. state the optimum of each approach. */
const GOPHER_FLOPS = 5.76e23;

export const APPROACH_1: Frontier = {
  id: "approach-1",
  name: "Chinchilla approach 1 (training curves)",
  source: "Hoffmann et al. 2022, arXiv 2203.15556: 67B at 5.76e23 FLOPs (table 3), N ∝ C^0.50 (table 2)",
  anchor: 67e9,
  exponent: 0.5,
};

export const APPROACH_2: Frontier = {
  id: "approach-2",
  name: "Chinchilla approach 2 (IsoFLOP profiles)",
  source: "Hoffmann et al. 2022, arXiv 2203.15556: 63B at 5.76e23 FLOPs (figure 3), N ∝ C^0.49 (table 2)",
  anchor: 63e9,
  exponent: 0.49,
};

export const FRONTIERS: readonly Frontier[] = [APPROACH_1, APPROACH_2];

/** The optimal model at a budget. */
export function frontierForFlops({ anchor, exponent }: Frontier, flops: number): Allocation {
  const parameters = anchor * (flops / GOPHER_FLOPS) ** exponent;
  return { parameters, tokens: shareOfFlops(flops, parameters) };
}

/** The data with which a model of this size is optimal. */
export function frontierForParameters({ anchor, exponent }: Frontier, parameters: number): Allocation {
  return { parameters, tokens: shareOfFlops(GOPHER_FLOPS * (parameters / anchor) ** (1 / exponent), parameters) };
}

/** The model that is optimal on so many tokens. */
export function frontierForTokens({ anchor, exponent }: Frontier, tokens: number): Allocation {
  // D = C / 6N with N ∝ C^a, so D ∝ C^(1 − a).
  const anchorTokens = shareOfFlops(GOPHER_FLOPS, anchor);
  const flops = GOPHER_FLOPS * (tokens / anchorTokens) ** (1 / (1 - exponent));
  return { parameters: shareOfFlops(flops, tokens), tokens };
}

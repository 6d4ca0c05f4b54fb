/** The parametric law of loss, L(N, D) = E + A/N^α + B/D^β, its published constants and what follows from it. */
import { GiantError } from "../base/errors.ts";

/** Training FLOPs per parameter and token: forward 2, backward 4 (Kaplan et al. 2020, arXiv 2001.08361, section 2.1). */
const TRAINING_FLOPS = 6;
/** FLOPs per parameter and token that is read or written afterwards: the forward pass alone. */
const INFERENCE_FLOPS = 2;

/** FLOPs of training: C = 6·N·D. N counts the embeddings too, as Hoffmann et al. count. */
export function trainingFlops(parameters: number, tokens: number): number {
  return TRAINING_FLOPS * parameters * tokens;
}

/** The number of the one that the other leaves at a budget: C / 6N tokens, or C / 6D parameters. */
export function shareOfFlops(flops: number, other: number): number {
  return flops / (TRAINING_FLOPS * other);
}

/** FLOPs of reading and writing `tokens` with a trained model: 2·N·D. */
export function inferenceFlops(parameters: number, tokens: number): number {
  return INFERENCE_FLOPS * parameters * tokens;
}

export interface LawConstants {
  /** The loss of an endless model on endless data, in nats per token. */
  readonly E: number;
  readonly A: number;
  readonly B: number;
  readonly alpha: number;
  readonly beta: number;
}

/** A law with its name and where its constants come from. */
export interface ScalingLaw extends LawConstants {
  /** How an option names it. */
  readonly id: string;
  readonly name: string;
  readonly source: string;
}

export const CHINCHILLA_ROUNDED: ScalingLaw = {
  id: "chinchilla",
  name: "Chinchilla approach 3 (printed constants)",
  source: "Hoffmann et al. 2022, arXiv 2203.15556, equation 10, with exponents rounded to two digits",
  E: 1.69,
  A: 406.4,
  B: 410.7,
  alpha: 0.34,
  beta: 0.28,
};

/** What Hoffmann et al. computed with: two digits in an exponent move the optimum from 40B to 32B at 5.76e23 FLOPs. */
export const CHINCHILLA_UNROUNDED: ScalingLaw = {
  id: "chinchilla-unrounded",
  name: "Chinchilla approach 3 (before rounding)",
  source: "the 40B at 5.76e23 FLOPs of Hoffmann et al. 2022, figure 4; constants as quoted by Besiroglu et al. 2024",
  E: 1.6934,
  A: 406.4,
  B: 410.7,
  alpha: 0.3392,
  beta: 0.2849,
};

export const BESIROGLU: ScalingLaw = {
  id: "besiroglu",
  name: "Besiroglu et al. 2024 (approach 3, corrected)",
  source: "Besiroglu et al. 2024, arXiv 2404.10102, fitted anew to the runs of Hoffmann et al.",
  E: 1.8172,
  A: 482.01,
  B: 2085.43,
  alpha: 0.3478,
  beta: 0.3658,
};

/** Fitted on C4 together with the constants of `repeated-data.ts`. */
export const MUENNIGHOFF: ScalingLaw = {
  id: "muennighoff",
  name: "Muennighoff et al. 2023 (C4)",
  source: "Muennighoff et al. 2023, arXiv 2305.16264, with the constants of its code",
  E: Math.exp(0.6254804),
  A: Math.exp(6.255414),
  B: Math.exp(7.3049974),
  alpha: 0.3526596,
  beta: 0.3526596,
};

/** The published laws, in the order in which they are shown. */
export const PUBLISHED_LAWS: readonly ScalingLaw[] = [CHINCHILLA_ROUNDED, CHINCHILLA_UNROUNDED, BESIROGLU, MUENNIGHOFF];

/** A model's size and its data. */
export interface Allocation {
  readonly parameters: number;
  readonly tokens: number;
}

/** Loss in nats per token. */
export function lossOf({ E, A, B, alpha, beta }: LawConstants, { parameters, tokens }: Allocation): number {
  return E + A / parameters ** alpha + B / tokens ** beta;
}

/** N·G⁻¹ = D·G to the power of a/b is the line of optima; this is G (Hoffmann et al. 2022, equation 4). */
function frontierFactor({ A, B, alpha, beta }: LawConstants): number {
  return ((alpha * A) / (beta * B)) ** (1 / (alpha + beta));
}

/** The exponents a and b of N ∝ C^a and D ∝ C^b on the line of optima. */
export function frontierExponents({ alpha, beta }: LawConstants): { readonly a: number; readonly b: number } {
  return { a: beta / (alpha + beta), b: alpha / (alpha + beta) };
}

/** The model of least loss at a budget (Hoffmann et al. 2022, equation 4). */
export function optimumForFlops(law: LawConstants, flops: number): Allocation {
  const parameters = frontierFactor(law) * (flops / TRAINING_FLOPS) ** frontierExponents(law).a;
  return { parameters, tokens: shareOfFlops(flops, parameters) };
}

/** The data with which a model of this size is optimal. */
export function optimumForParameters(law: LawConstants, parameters: number): Allocation {
  const product = (parameters / frontierFactor(law)) ** (1 / frontierExponents(law).a);
  return { parameters, tokens: product / parameters };
}

/** The model that is optimal on so many tokens. */
export function optimumForTokens(law: LawConstants, tokens: number): Allocation {
  const product = (tokens * frontierFactor(law)) ** (1 / frontierExponents(law).b);
  return { parameters: product / tokens, tokens };
}

/** The cheapest model of a loss, or undefined where the loss is not above E. On the line of optima αA/N^α = βB/D^β. */
export function optimumForLoss(law: LawConstants, loss: number): Allocation | undefined {
  const gap = loss - law.E;
  if (gap <= 0) return undefined;
  const { A, B, alpha, beta } = law;
  return {
    parameters: ((A * (alpha + beta)) / (beta * gap)) ** (1 / alpha),
    tokens: ((B * (alpha + beta)) / (alpha * gap)) ** (1 / beta),
  };
}

/** Tokens with which a model of this size has the loss; undefined where no number of tokens is enough. */
export function tokensForLoss(law: LawConstants, parameters: number, loss: number): number | undefined {
  const gap = loss - law.E - law.A / parameters ** law.alpha;
  return gap > 0 ? (law.B / gap) ** (1 / law.beta) : undefined;
}

/** Parameters with which so many tokens give the loss; undefined where no size is enough. */
export function parametersForLoss(law: LawConstants, tokens: number, loss: number): number | undefined {
  const gap = loss - law.E - law.B / tokens ** law.beta;
  return gap > 0 ? (law.A / gap) ** (1 / law.alpha) : undefined;
}

/** A published law by its id; GiantError("usage") for another. */
export function publishedLaw(id: string): ScalingLaw {
  const law = PUBLISHED_LAWS.find((each) => each.id === id);
  if (law) return law;
  throw new GiantError("usage", `${JSON.stringify(id)} is none of the laws ${PUBLISHED_LAWS.map((each) => each.id).join(", ")}`);
}

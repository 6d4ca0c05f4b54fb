/** The contract of an adaptation method: the tensors it trains, and what it answers in place of the plain context. */
import type { Tensor } from "../core/tensor.ts";
import type { ModelContext } from "../nn/context.ts";
import type { DecoderInputs } from "../nn/decoder.ts";

/** How a trained tensor starts. */
export type Initial =
  | { readonly kind: "zeros" }
  | { readonly kind: "ones" }
  | { readonly kind: "uniform"; readonly bound: number }
  | { readonly kind: "normal"; readonly deviation: number }
  /** Normal, drawn again where it lies beyond two deviations. */
  | { readonly kind: "truncatedNormal"; readonly deviation: number }
  /** A copy of a parameter of the base. */
  | { readonly kind: "base"; readonly parameter: string }
  /** Rows of a parameter of the base, by number; or as many drawn at random. */
  | { readonly kind: "rows"; readonly parameter: string; readonly rows: readonly number[] }
  | { readonly kind: "randomRows"; readonly parameter: string }
  /** The Euclidean norm of each output's weights; `transposed` when the base stores [in, out]. */
  | { readonly kind: "outputNorms"; readonly parameter: string; readonly transposed: boolean };

export interface AdapterTensor {
  readonly shape: readonly number[];
  readonly initial: Initial;
  /** False for a tensor that the file carries but nobody trains. */
  readonly trained: boolean;
}

/** Drops elements of x [N, C] with the given rate and scales the rest up; `path` names the place, so that masks differ. */
export type Dropout = (x: Tensor, rate: number, path: string) => Tensor;

/** What surrounds a forward pass under a method. */
export interface Surroundings {
  /** What the base is fed with. */
  readonly inputs: DecoderInputs;
  /** Without it nothing is dropped. */
  readonly dropout?: Dropout;
}

/** The adapter as part of the base's own weights, or why that cannot be. */
export type Merging =
  | {
      readonly possible: true;
      /**
       * The base's parameters as they are once the adapter is merged in, by the base's names; those not named stay.
       * `parameter` gives the leaf of a base parameter.
       */
      readonly parameters: (parameter: (name: string) => Tensor, tensor: (name: string) => Tensor) => ReadonlyMap<string, Tensor>;
      /** True where the tensors are the base's own parameters, trained: a head that is tied to the embedding stays so. */
      readonly whole?: boolean;
    }
  | { readonly possible: false; readonly reason: string };

/** What an adapter adds to one parameter of the base. */
export interface Update {
  /** The parameter that it is added to: not the result's own name where a head is tied to the embedding. */
  readonly base: string;
  /** Of the form in which the base stores the parameter. */
  readonly update: Tensor;
}

/** A term s·B·A beside a layer. */
export interface LowRankTerm {
  readonly rank: number;
  readonly scaling: number;
  /** The adapter's tensors A [rank, in] and B [out, rank]. */
  readonly A: string;
  readonly B: string;
}

/** An adapter as terms beside the base that may be weighted and summed with those of others, or why it is none. */
export type Summing =
  | {
      readonly possible: true;
      /** As the method's own `context`, each term multiplied by a scalar. */
      readonly context: (base: ModelContext, tensor: (name: string) => Tensor, weight: Tensor) => ModelContext;
      /** What is added to the base's parameters, by their names in the merged model. */
      readonly updates: (tensor: (name: string) => Tensor, weight: Tensor) => ReadonlyMap<string, Update>;
      /** The pairs A, B of its terms by the path of their layer. */
      readonly terms: ReadonlyMap<string, LowRankTerm>;
    }
  | { readonly possible: false; readonly reason: string };

/** How an adapter lies in its folder, beside `adapter_config.json`. */
export interface AdapterLayout {
  /** The safetensors file of its tensors. */
  readonly weightsFile: string;
  /** What adapter_config.json holds; `base` is how the base is named there. */
  readonly config: (base: string) => Readonly<Record<string, unknown>>;
  /** Fields of the configuration that are written as Python writes a float: 4.0 and not 4. */
  readonly floats?: readonly string[];
  /** The pickled form of the weights, which is not read, and how to save them as safetensors instead. */
  readonly pickled?: { readonly file: string; readonly hint: string };
}

export interface AdaptationMethod {
  readonly name: string;
  /** The method's tensors by the names they have in its file. */
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
  /**
   * The tensor that stands in for a parameter of the base as seen from `module`, by its name in `tensors`;
   * undefined where the base's own is used.
   */
  readonly replacement: (parameter: string, module: string) => string | undefined;
  /** Wraps the base's context. `tensor` gives the leaf of an adapter tensor. */
  readonly context: (base: ModelContext, tensor: (name: string) => Tensor, around: Surroundings) => ModelContext;
  readonly merging: Merging;
  /** Absent where a method's effect is no sum of terms. */
  readonly summing?: Summing;
  /** Its folder; absent where the result is a model of its own. */
  readonly layout?: AdapterLayout;
  /** Position of the first token of a text, where places before it are taken; 0 by default. */
  readonly firstPosition?: number;
  /** Longest control text, in tokens, that the method reads beside the tokens; absent where it reads none. */
  readonly controlLength?: number;
  /**
   * Tokens V, V + 1, … that stand in front of every text, whose embeddings are the method's; 0 by default. They are never
   * predicted, and no sampler sees them.
   */
  readonly virtualTokens?: number;
  /** What its folder holds, where that is not what is trained: the method of the folder, and its tensors from the trained ones. */
  readonly exported?: {
    readonly method: AdaptationMethod;
    readonly tensors: (tensor: (name: string) => Tensor) => ReadonlyMap<string, Tensor>;
  };
}

/** Places of the context that a method takes before a text. */
export function placesTaken(method: AdaptationMethod | undefined): number {
  return (method?.firstPosition ?? 0) + (method?.virtualTokens ?? 0);
}

/** Ids of the virtual tokens in front of a text, for a vocabulary of V. */
export function virtualTokensOf(method: AdaptationMethod | undefined, V: number): number[] {
  return Array.from({ length: method?.virtualTokens ?? 0 }, (_, i) => V + i);
}

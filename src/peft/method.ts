/** The contract of an adaptation method: the tensors it trains, and what it answers in place of the plain context. */
import type { Tensor } from "../core/tensor.ts";
import type { ModelContext } from "../nn/context.ts";

/** How a trained tensor starts. */
export type Initial =
  | { readonly kind: "zeros" }
  | { readonly kind: "uniform"; readonly bound: number }
  | { readonly kind: "normal"; readonly deviation: number }
  /** A copy of a parameter of the base. */
  | { readonly kind: "base"; readonly parameter: string }
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

export interface AdaptationMethod {
  readonly name: string;
  /** The method's tensors by the names they have in its file. */
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
  /**
   * The tensor that stands in for a parameter of the base as seen from `module`, by its name in `tensors`;
   * undefined where the base's own is used.
   */
  readonly replacement: (parameter: string, module: string) => string | undefined;
  /** Wraps the base's context. `tensor` gives the leaf of an adapter tensor; without `dropout` nothing is dropped. */
  readonly context: (base: ModelContext, tensor: (name: string) => Tensor, dropout?: Dropout) => ModelContext;
  /**
   * The base's parameters as they are once the adapter is merged in, by the base's names; those not named stay.
   * `parameter` gives the leaf of a base parameter.
   */
  readonly merged: (parameter: (name: string) => Tensor, tensor: (name: string) => Tensor) => ReadonlyMap<string, Tensor>;
}

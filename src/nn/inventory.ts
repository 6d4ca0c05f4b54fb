/** What a model is made of, as adaptation methods look for their places in it. */
import type { LinearSpec, SublayerKind } from "./context.ts";

/** A layer that an adapter may target. */
export interface LinearModule {
  readonly path: string;
  readonly spec: LinearSpec;
}

/** A part of a block that adds to the residual stream. */
export interface SublayerModule {
  /** The block's path. */
  readonly path: string;
  readonly kind: SublayerKind;
}

/** Everything a model is made of, found by running its forward pass once. */
export interface Inventory {
  /** Names and shapes of all parameters, in order of use. */
  readonly parameters: ReadonlyMap<string, readonly number[]>;
  /** All linear layers but the head, in order of use. */
  readonly linears: readonly LinearModule[];
  /** The token embedding first. */
  readonly embeddings: readonly { readonly path: string; readonly rows: number; readonly width: number }[];
  /** Paths of the attention modules, from the first block to the last. */
  readonly attentions: readonly string[];
  readonly sublayers: readonly SublayerModule[];
  /** Paths of all modules that own parameters, the head included. */
  readonly modules: ReadonlySet<string>;
}

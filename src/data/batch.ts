/** A batch as the graph wants it: rows of tokens with positions and segments, and the labelled positions apart. */

/** Label of a token that is not trained on, as in PyTorch and transformers. */
export const IGNORED_LABEL: number = -100;

/**
 * `B` rows of `T` tokens, flattened row-major.
 *
 * A row holds one example, or several packed ones: `segments` tells them apart (1, 2, …; 0 is padding), `positions`
 * restarts at 0 in each segment. A token attends to tokens of its own segment at its own or earlier positions only.
 */
export interface Batch {
  readonly rows: number; // B
  readonly length: number; // T
  readonly tokens: Int32Array; // [B*T]
  readonly positions: Int32Array; // [B*T]
  readonly segments: Int32Array; // [B*T]
  /** Flat indices (into [B*T]) of the positions whose next token is trained on, ascending. */
  readonly labelRows: Int32Array; // [N]
  /** The token each of those positions must predict. */
  readonly labelIds: Int32Array; // [N]
  /** The examples' control texts; absent where none has one. */
  readonly control?: BatchControls;
}

/**
 * Control texts beside `B` rows, one after another in `U` places, flattened row-major: `segments` tells whose control each
 * token is (0 is padding), `positions` restarts at 0 in each.
 */
export interface BatchControls {
  readonly length: number; // U
  readonly tokens: Int32Array; // [B*U]
  readonly positions: Int32Array; // [B*U]
  readonly segments: Int32Array; // [B*U]
}

/** Bytes of memory by what they hold. */

export interface MemoryParts {
  /** Frozen weights: mapped pages, once per program that reads them, and packed copies. */
  readonly weights: number;
  /** Trained tensors, the copy they started from, and their gradients. */
  readonly trainables: number;
  /** Moments, and what an update needs on the way. */
  readonly optimiser: number;
  /** Values of the forward pass that the backward pass waits for. */
  readonly activations: number;
  readonly logits: number;
  /** The process, the graphs, and what evaluations, answers and checkpoints take beside the step. */
  readonly workspace: number;
}

export interface MemoryForecast {
  /** The resident set of the process at its largest. */
  readonly peakBytes: number;
  readonly parts: MemoryParts;
}

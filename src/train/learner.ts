/** What the training loop needs from the thing that learns; the loop knows nothing of graphs or devices. */
import type { HostTensor } from "../core/dtype.ts";
import type { Batch } from "../data/batch.ts";

/** Everything that must be saved for a run to go on with the same bits. */
export interface LearnerState {
  /** Trainable tensors by their own names. */
  readonly parameters: ReadonlyMap<string, HostTensor>;
  /** First and second moments of the optimiser by parameter name. */
  readonly firstMoments: ReadonlyMap<string, HostTensor>;
  readonly secondMoments: ReadonlyMap<string, HostTensor>;
  /** Updates done so far (AdamW's t). */
  readonly updates: number;
}

export interface Learner {
  /** Number of trainable scalars. */
  readonly trainableParameters: number;
  /** Number of all scalars, frozen ones included. */
  readonly totalParameters: number;
  /**
   * Forward and backward over one micro-batch; adds `scale` × the gradient of the summed loss to the accumulated gradients.
   * `scale` is 1 / (labelled tokens of the whole optimiser step), as transformers normalises since 4.46.
   * `dropoutSeed` decides the dropout masks of this micro-batch and nothing else does.
   * @returns the summed loss over labelled tokens, in nats (not scaled).
   */
  accumulate(batch: Batch, scale: number, dropoutSeed: number): Promise<{ lossSum: number }>;
  /**
   * Clips the accumulated gradients to `maxGradNorm` (global L2 norm; 0 = no clipping), does one AdamW update, clears the gradients.
   * @returns the norm before clipping.
   */
  update(learningRate: number): Promise<{ gradientNorm: number }>;
  /** Summed loss over labelled tokens without gradients or dropout, in nats. */
  evaluate(batch: Batch): Promise<{ lossSum: number }>;
  /** The first tensor that holds a value that is not finite: of the base, among the trained ones, or a gradient; looks through all of them. */
  findNotFinite(): Promise<{ readonly kind: "base" | "trained" | "gradient"; readonly name: string } | undefined>;
  save(): Promise<LearnerState>;
  load(state: LearnerState): Promise<void>;
  close(): Promise<void>;
}

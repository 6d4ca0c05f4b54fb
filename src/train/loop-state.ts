/** What a training loop must remember, beside the learner's tensors, to go on as if nothing had happened. */
import type { RandomState } from "../base/random.ts";
import type { LearnerState } from "./learner.ts";

export interface LoopState {
  /** Updates done. */
  readonly step: number;
  /** The epoch under way (0-based) and the optimiser steps done in it. */
  readonly epoch: number;
  readonly stepInEpoch: number;
  /** The generator that the dropout seeds come from. */
  readonly random: RandomState;
  /** The best evaluation so far. */
  readonly best: { readonly step: number; readonly loss: number } | null;
  /** Evaluations since the best one. */
  readonly evaluationsWithoutGain: number;
  /** The last step that was evaluated. */
  readonly evaluatedStep: number;
  readonly tokens: number;
  readonly labelledTokens: number;
  /** Time spent in steps. */
  readonly seconds: number;
}

/** Where checkpoints go. */
export interface CheckpointStore {
  /** Saves completely or not at all, then removes checkpoints that need not be kept; returns the checkpoint's name. */
  save(state: LoopState, learner: LearnerState): Promise<string>;
}

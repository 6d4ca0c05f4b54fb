/** The last look before a run: does it fit into memory, and how fast is one micro-step here? */
import type { Batch } from "../data/batch.ts";
import { countTokens } from "./loop.ts";
import type { Learner } from "./learner.ts";

export interface MeasuredSpeed {
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

/** Times one forward and backward pass. The learner stays as it was: the gradients are added with weight 0. */
export async function measureMicroStep(learner: Learner, batch: Batch, clock: () => number): Promise<MeasuredSpeed> {
  const begin = clock();
  await learner.accumulate(batch, 0, 0);
  const seconds = (clock() - begin) / 1000;
  return { seconds, tokensPerSecond: seconds > 0 ? countTokens(batch) / seconds : 0 };
}

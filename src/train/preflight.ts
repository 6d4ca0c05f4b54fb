/** The last look before a run: does it fit into memory, and how fast is one micro-step here? */
import { GiantError } from "../base/errors.ts";
import type { Batch } from "../data/batch.ts";
import { countTokens } from "./loop.ts";
import type { Learner } from "./learner.ts";

export interface MeasuredSpeed {
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

/**
 * Times one forward and backward pass. The learner stays as it was: the gradients are added with weight 0.
 * @throws GiantError("numeric") when the model's loss is no finite number before anything was trained.
 */
export async function measureMicroStep(learner: Learner, batch: Batch, clock: () => number): Promise<MeasuredSpeed> {
  const begin = clock();
  const { lossSum } = await learner.accumulate(batch, 0, 0);
  const seconds = (clock() - begin) / 1000;
  if (!Number.isFinite(lossSum)) {
    throw new GiantError("numeric", `before training the loss of the first batch is ${lossSum}, needed a finite number`, {
      hint: "The base model's weights are damaged: get them again.",
    });
  }
  return { seconds, tokensPerSecond: seconds > 0 ? countTokens(batch) / seconds : 0 };
}

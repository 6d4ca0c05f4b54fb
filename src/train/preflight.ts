/** The last look before a run: how fast is one micro-step here? */
import type { EpochPlan } from "./batch-source.ts";
import { countTokens } from "./loop.ts";
import type { Learner } from "./learner.ts";
import { notFinite } from "./not-finite.ts";

export interface MeasuredSpeed {
  readonly seconds: number;
  readonly tokens: number;
}

/** Runs of fewer steps are not worth a second look. */
const WORTH_REPEATING = 20;

/**
 * Times one forward and backward pass. The first one touches all its memory for the first time and may take twice as
 * long as those that follow, so a long run times a second one. The learner stays as it was: gradients are added with weight 0.
 * @throws GiantError("numeric") when the model's loss is no finite number before anything was trained.
 */
export async function measureMicroStep(learner: Learner, plan: EpochPlan, clock: () => number, totalSteps: number): Promise<MeasuredSpeed> {
  const batch = plan.batch(0);
  const measure = async (): Promise<number> => {
    const begin = clock();
    const { lossSum } = await learner.accumulate(batch, 0, 0);
    if (!Number.isFinite(lossSum)) throw await notFinite(learner, "before training", "loss of the first batch", lossSum);
    return (clock() - begin) / 1000;
  };
  const first = await measure();
  return { seconds: totalSteps < WORTH_REPEATING ? first : Math.min(first, await measure()), tokens: countTokens(batch) };
}

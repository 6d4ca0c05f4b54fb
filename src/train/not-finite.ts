/** Errors about numbers that are no numbers: which tensor they come from, and what is to be done. */
import { GiantError } from "../base/errors.ts";
import type { Learner } from "./learner.ts";

/** What was being done: before the first step, at a step, or evaluating after one. */
export type When = "before training" | `step ${number}` | `after step ${number}`;

/** The error of a figure that is not finite, with the tensor that is to blame as far as one can be found. */
export async function notFinite(learner: Learner, when: When, what: string, value: number): Promise<GiantError> {
  const culprit = await learner.findNotFinite();
  const base = culprit?.kind === "base";
  const source =
    culprit === undefined
      ? "all weights and gradients are finite, so a value between them overflowed"
      : `the first tensor that is not finite is ${culprit.kind === "gradient" ? "the gradient of " : base ? "the base's " : ""}${culprit.name}`;
  return new GiantError("numeric", `${when}: the ${what} is ${value}, needed a finite number; ${source}`, {
    hint:
      base || when === "before training"
        ? "The base model's weights are damaged: get them again."
        : "Lower --learning-rate or --max-grad-norm, or look for broken examples; the last checkpoint is kept and --resume goes on from it.",
    facts: { when, value, ...culprit },
  });
}

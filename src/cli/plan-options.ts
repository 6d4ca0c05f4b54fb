/** The options of `mini-giants plan`, one group for each question it answers. */
import type { OptionTable } from "../base/options.ts";
import { PUBLISHED_LAWS } from "../plan/scaling-law.ts";

/** How large a model, on how much text. */
export interface ScalingOptions {
  readonly parameters?: number;
  readonly tokens?: number;
  readonly flops?: number;
  readonly hours?: number;
  readonly flopsPerSecond?: number;
  readonly targetLoss?: number;
  readonly inferenceTokens?: number;
  readonly uniqueTokens?: number;
  readonly law: string;
}

/** What law one's own runs follow. */
export interface FitOptions {
  readonly dropLowest: number;
  readonly resamples: number;
  readonly seed: number;
  readonly parametersColumn?: string;
  readonly tokensColumn?: string;
  readonly flopsColumn?: string;
  readonly lossColumn?: string;
}

/** What every question may say. */
export interface PlanOutputOptions {
  readonly output?: string;
  readonly json: boolean;
}

export type PlanOptions = ScalingOptions & FitOptions & PlanOutputOptions;

const SCALING = "Scaling (any one or two of the first five decide the rest)";
const FIT = "Fit (plan fit FILE)";

export const SCALING_OPTIONS: OptionTable<ScalingOptions> = {
  parameters: { group: SCALING, type: "count", help: "size of the model with its embeddings, such as 135M" },
  tokens: { group: SCALING, type: "count", help: "tokens of training, such as 1.4T" },
  flops: { group: SCALING, type: "count", help: "FLOPs of training, 6 · parameters · tokens, such as 5.76e23" },
  hours: { group: SCALING, type: "number", minimum: 0, above: true, help: "time of training in place of --flops, by --flops-per-second", unit: "hours" },
  targetLoss: { group: SCALING, type: "number", minimum: 0, above: true, placeholder: "L", help: "loss to reach", unit: "nats per token" },
  flopsPerSecond: { group: SCALING, type: "count", help: "what the machine does in training; times are shown by it", defaultText: "measured, with --hours" },
  inferenceTokens: {
    group: SCALING,
    type: "count",
    defaultText: "as many as the optimum is trained on",
    help: "tokens that the model will read and write in use; more of them make a smaller model on more tokens the better choice",
  },
  uniqueTokens: { group: SCALING, type: "count", defaultText: "endless", help: "different tokens there are; what goes beyond them is repeated" },
  law: {
    group: SCALING,
    type: "string",
    placeholder: "NAME",
    default: "besiroglu",
    help: `law of the curve, the smaller models and repeated data: ${PUBLISHED_LAWS.map(({ id }) => id).join(", ")}, or the plan.json of a fit`,
  },
};

const column = (what: string): { readonly group: string; readonly type: "string"; readonly placeholder: string; readonly help: string } => ({
  group: FIT,
  type: "string",
  placeholder: "NAME",
  help: `column of the ${what}, where its name is another than usual`,
});

export const FIT_OPTIONS: OptionTable<FitOptions> = {
  dropLowest: { group: FIT, type: "integer", minimum: 0, default: 0, help: "leave out so many runs with the fewest tokens per parameter" },
  resamples: { group: FIT, type: "integer", minimum: 0, default: 1000, help: "fits on runs drawn anew, for the intervals; 0 for none" },
  seed: { group: FIT, type: "integer", minimum: 0, default: 0, help: "seed of the resamples" },
  parametersColumn: column("parameters"),
  tokensColumn: column("tokens"),
  flopsColumn: column("FLOPs, read where there are no tokens"),
  lossColumn: column("final losses"),
};

export const PLAN_OUTPUT_OPTIONS: OptionTable<PlanOutputOptions> = {
  output: { group: "Output", type: "path", placeholder: "DIR", help: "new folder for plan.json, plan.svg and plan.html" },
  json: { group: "Output", type: "boolean", default: false, help: "print JSON in place of text" },
};

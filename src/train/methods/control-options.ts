/** The control branch's options in a recipe, and the configuration they stand for. */
import type { OptionTable } from "../../base/options.ts";
import type { ControlSource } from "../../data/control.ts";
import type { ControlConfig } from "../../peft/control-config.ts";

export interface ControlOptions {
  readonly controlBlocks?: number;
  readonly controlLength: number;
  readonly controlDropout: number;
  readonly controlFrom: ControlSource;
}

const GROUP = "Control branch";

export const CONTROL_OPTIONS: OptionTable<ControlOptions> = {
  controlBlocks: { group: GROUP, type: "integer", minimum: 1, defaultText: "half of the model's", help: "how many of the first blocks get a trained copy" },
  controlLength: { group: GROUP, type: "integer", minimum: 1, default: 64, unit: "tokens", help: "longest control text" },
  controlDropout: {
    group: GROUP,
    type: "number",
    minimum: 0,
    maximum: 1,
    default: 0.1,
    help: "part of the examples whose control is left out at random, so that the branch learns to be without one too",
  },
  controlFrom: {
    group: GROUP,
    type: "enum",
    choices: ["field", "system"],
    default: "field",
    help: "where an example's control text stands: in its field `control`, or in its system message, which is then no part of the prompt",
  },
};

/** The configuration for the options, on a base of `layers` blocks. */
export function controlConfigOf({ controlBlocks, controlLength, controlDropout }: ControlOptions, layers: number): ControlConfig {
  return { numBlocks: controlBlocks ?? Math.max(1, Math.floor(layers / 2)), controlLength, controlDropout };
}

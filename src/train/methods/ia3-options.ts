/** IA3's options in a recipe, and the configuration they stand for. */
import type { OptionTable } from "../../base/options.ts";
import type { Ia3Config } from "../../peft/ia3-config.ts";
import { targetsOf } from "./lora-options.ts";

export interface Ia3Options {
  readonly ia3Modules: readonly string[];
  readonly feedforwardModules: readonly string[];
}

const GROUP = "IA3";

export const IA3_OPTIONS: OptionTable<Ia3Options> = {
  ia3Modules: {
    group: GROUP,
    type: "list",
    commas: "unlessPattern",
    default: [],
    defaultText: "keys, values and the MLP's last layer, as PEFT chooses them for the model's type",
    help: "layers that are scaled: names, a regular expression over full names, or all-linear",
  },
  feedforwardModules: {
    group: GROUP,
    type: "list",
    commas: "unlessPattern",
    default: [],
    defaultText: "the MLP's last layer",
    help: "those of them whose input is scaled, and not their output",
  },
};

/** PEFT's configuration for the options. */
export function ia3ConfigOf({ ia3Modules, feedforwardModules }: Ia3Options): Ia3Config {
  return {
    ...(ia3Modules.length > 0 && { targetModules: targetsOf(ia3Modules) }),
    ...(feedforwardModules.length > 0 && { feedforwardModules: targetsOf(feedforwardModules) }),
  };
}

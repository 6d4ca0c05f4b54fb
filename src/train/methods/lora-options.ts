/** LoRA's options in a recipe, and the configuration they stand for. */
import type { OptionTable } from "../../base/options.ts";
import { LORA_DEFAULTS, type LoraConfig } from "../../peft/lora-config.ts";

export interface LoraOptions {
  readonly rank: number;
  readonly loraAlpha: number;
  readonly loraDropout: number;
  readonly targetModules: readonly string[];
  readonly useRslora: boolean;
  readonly useDora: boolean;
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  readonly modulesToSave: readonly string[];
  readonly bias: "none" | "all" | "lora_only";
}

const GROUP = "LoRA, DoRA and QLoRA";

export const LORA_OPTIONS: OptionTable<LoraOptions> = {
  rank: { group: GROUP, type: "integer", minimum: 1, default: 16, aliases: ["r"], help: "rank of the low-rank terms" },
  loraAlpha: { group: GROUP, type: "number", minimum: 0, above: true, default: 32, help: "scale of the low-rank terms; they are multiplied by alpha / rank" },
  loraDropout: {
    group: GROUP,
    type: "number",
    minimum: 0,
    maximum: 0.99,
    default: 0,
    help: "part of the inputs of the low-rank terms that is left out at random",
  },
  targetModules: {
    group: GROUP,
    type: "list",
    commas: "unlessPattern",
    default: ["all-linear"],
    help: "layers that get a low-rank term: names, a regular expression over full names, or all-linear",
  },
  useRslora: { group: GROUP, type: "boolean", default: false, help: "multiply by alpha / √rank instead" },
  useDora: { group: GROUP, type: "boolean", default: false, help: "train the magnitude of each output apart from its direction, as --method dora does" },
  rankPattern: { group: GROUP, type: "map", default: {}, help: "rank of layers whose name matches, where it differs" },
  alphaPattern: { group: GROUP, type: "map", default: {}, help: "alpha of layers whose name matches, where it differs" },
  modulesToSave: { group: GROUP, type: "list", default: [], help: "further layers that are trained and saved whole" },
  bias: { group: GROUP, type: "enum", choices: ["none", "all", "lora_only"], default: "none", help: "biases that are trained" },
};

/** PEFT's rule for a list of targets: one element with the characters of a regular expression is one. */
export function targetsOf(names: readonly string[]): string | readonly string[] {
  const [first = "", ...others] = names;
  return others.length === 0 && (first === "all-linear" || /[\\^$*+?()[\]{}|]/.test(first)) ? first : names;
}

/** PEFT's configuration for the options. */
export function loraConfigOf(options: LoraOptions): LoraConfig {
  const { loraAlpha, loraDropout, useRslora, useDora, rankPattern, alphaPattern, modulesToSave, bias } = options;
  return {
    ...LORA_DEFAULTS,
    targetModules: targetsOf(options.targetModules),
    r: options.rank,
    loraAlpha,
    loraDropout,
    useRslora,
    useDora,
    rankPattern,
    alphaPattern,
    modulesToSave,
    bias,
  };
}

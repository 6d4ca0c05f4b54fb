/** All options that belong to adaptation methods, each group in a file of its own. */
import type { OptionTable } from "../../base/options.ts";
import { BOTTLENECK_OPTIONS, type BottleneckOptions } from "./bottleneck-options.ts";
import { LORA_OPTIONS, type LoraOptions } from "./lora-options.ts";

export interface MethodOptions extends LoraOptions, BottleneckOptions {}

export const METHOD_OPTIONS: OptionTable<MethodOptions> = {
  ...LORA_OPTIONS,
  ...BOTTLENECK_OPTIONS,
};

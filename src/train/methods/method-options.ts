/** All options that belong to adaptation methods, each group in a file of its own. */
import type { OptionTable } from "../../base/options.ts";
import { CONTROL_OPTIONS, type ControlOptions } from "./control-options.ts";
import { LORA_OPTIONS, type LoraOptions } from "./lora-options.ts";

export interface MethodOptions extends LoraOptions, ControlOptions {}

export const METHOD_OPTIONS: OptionTable<MethodOptions> = {
  ...LORA_OPTIONS,
  ...CONTROL_OPTIONS,
};

/** All options that belong to adaptation methods, each group in a file of its own. */
import type { OptionTable } from "../../base/options.ts";
import { ADAPTION_PROMPT_OPTIONS, type AdaptionPromptOptions } from "./adaption-prompt-options.ts";
import { BOTTLENECK_OPTIONS, type BottleneckOptions } from "./bottleneck-options.ts";
import { CONTROL_OPTIONS, type ControlOptions } from "./control-options.ts";
import { IA3_OPTIONS, type Ia3Options } from "./ia3-options.ts";
import { LORA_OPTIONS, type LoraOptions } from "./lora-options.ts";
import { PROMPT_OPTIONS, type PromptOptions } from "./prefix-options.ts";
import { QLORA_OPTIONS, type QloraOptions } from "./qlora-options.ts";

export interface MethodOptions extends AdaptionPromptOptions, BottleneckOptions, ControlOptions, Ia3Options, LoraOptions, PromptOptions, QloraOptions {}

export const METHOD_OPTIONS: OptionTable<MethodOptions> = {
  ...LORA_OPTIONS,
  ...ADAPTION_PROMPT_OPTIONS,
  ...BOTTLENECK_OPTIONS,
  ...CONTROL_OPTIONS,
  ...IA3_OPTIONS,
  ...PROMPT_OPTIONS,
  ...QLORA_OPTIONS,
};

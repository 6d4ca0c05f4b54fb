/** All options that belong to adaptation methods, each group in a file of its own. */
import type { OptionTable } from "../../base/options.ts";
import { ADAPTION_PROMPT_OPTIONS, type AdaptionPromptOptions } from "./adaption-prompt-options.ts";
import { IA3_OPTIONS, type Ia3Options } from "./ia3-options.ts";
import { LORA_OPTIONS, type LoraOptions } from "./lora-options.ts";
import { PROMPT_OPTIONS, type PromptOptions } from "./prefix-options.ts";

export interface MethodOptions extends LoraOptions, Ia3Options, PromptOptions, AdaptionPromptOptions {}

export const METHOD_OPTIONS: OptionTable<MethodOptions> = {
  ...LORA_OPTIONS,
  ...IA3_OPTIONS,
  ...PROMPT_OPTIONS,
  ...ADAPTION_PROMPT_OPTIONS,
};

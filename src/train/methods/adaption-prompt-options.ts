/** LLaMA-Adapter's options in a recipe, and the configuration they stand for. */
import type { OptionTable } from "../../base/options.ts";
import type { AdaptionPromptConfig } from "../../peft/adaption-prompt-config.ts";

export interface AdaptionPromptOptions {
  readonly adapterLen: number;
  readonly adapterLayers?: number;
}

const GROUP = "LLaMA-Adapter";

export const ADAPTION_PROMPT_OPTIONS: OptionTable<AdaptionPromptOptions> = {
  adapterLen: { group: GROUP, type: "integer", minimum: 1, default: 10, help: "rows of each layer's prompt" },
  adapterLayers: { group: GROUP, type: "integer", minimum: 1, defaultText: "all but the first two", help: "how many layers have a prompt, from the last" },
};

/** PEFT's configuration for the options. The paper leaves out the first two layers of LLaMA. */
export function adaptionPromptConfigOf({ adapterLen, adapterLayers }: AdaptionPromptOptions, layers: number): AdaptionPromptConfig {
  return { adapterLen, adapterLayers: adapterLayers ?? Math.max(1, layers - 2) };
}

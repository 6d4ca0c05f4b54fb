/** The options of prefix tuning and prompt tuning in a recipe, and the configurations they stand for. */
import type { OptionTable } from "../../base/options.ts";
import { GiantError } from "../../base/errors.ts";
import type { PrefixConfig } from "../../peft/prefix-config.ts";
import { PROMPT_INITS, type PromptTuningConfig } from "../../peft/prompt-tuning-config.ts";

export interface PromptOptions {
  readonly numVirtualTokens: number;
  readonly prefixProjection: boolean;
  readonly encoderHiddenSize?: number;
  readonly promptTuningInit: (typeof PROMPT_INITS)[number];
  readonly promptTuningInitText?: string;
}

const GROUP = "Prefix and prompt tuning";

export const PROMPT_OPTIONS: OptionTable<PromptOptions> = {
  numVirtualTokens: { group: GROUP, type: "integer", minimum: 1, default: 20, help: "trained places in front of every text" },
  prefixProjection: { group: GROUP, type: "boolean", default: false, help: "train an MLP that computes the prefix; only the prefix is saved" },
  encoderHiddenSize: { group: GROUP, type: "integer", minimum: 1, defaultText: "the width of the base's keys", help: "width of that MLP" },
  promptTuningInit: {
    group: GROUP,
    type: "enum",
    choices: PROMPT_INITS,
    default: "SAMPLE_VOCAB",
    help: "how the prompt starts: at random, as embeddings of random tokens, or as those of a text",
  },
  promptTuningInitText: { group: GROUP, type: "string", placeholder: "TEXT", help: "the text that the prompt starts as; with --prompt-tuning-init TEXT" },
};

/** PEFT's configuration for the options. */
export function prefixConfigOf({ numVirtualTokens, prefixProjection, encoderHiddenSize }: PromptOptions): PrefixConfig {
  return { numVirtualTokens, prefixProjection, encoderHiddenSize, zeroInit: false };
}

/** PEFT's configuration for the options. */
export function promptConfigOf({ numVirtualTokens, promptTuningInit: init, promptTuningInitText: initText }: PromptOptions): PromptTuningConfig {
  if ((init === "TEXT") !== (initText !== undefined)) {
    throw new GiantError("usage", `--prompt-tuning-init is ${init} and --prompt-tuning-init-text is ${initText === undefined ? "missing" : "given"}`, {
      hint: "A text needs --prompt-tuning-init TEXT, and the other way round.",
    });
  }
  return { numVirtualTokens, init, initText };
}

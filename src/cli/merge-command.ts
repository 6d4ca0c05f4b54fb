/** `mini-giants merge`: writes an adapter into its base model. */
import { resolveOptions, type OptionTable } from "../base/options.ts";
import type { MergeOptions } from "../workbench/merge-folders.ts";
import type { Command } from "./command.ts";

const MERGE_OPTIONS: OptionTable<MergeOptions> = {
  model: { group: "Folders", type: "path", placeholder: "DIR", required: true, help: "folder of the base model" },
  adapter: {
    group: "Folders",
    type: "list",
    commas: "kept",
    placeholder: "DIR[=WEIGHT]",
    required: true,
    help: "folder of an adapter; given several times, their weighted sum is merged (weight 1 where none is named)",
  },
  output: { group: "Folders", type: "path", placeholder: "DIR", required: true, help: "new folder for the merged model, in Hugging Face's layout" },
  asAdapter: { group: "Folders", type: "boolean", default: false, help: "write the sum as one LoRA adapter of all ranks, and no model" },
};

export const mergeCommand: Command<MergeOptions> = {
  verb: "merge",
  summary: "write an adapter, or a sum of several, into its base model",
  usage: "--model DIR --adapter DIR[=WEIGHT] … --output DIR [--as-adapter]",
  examples: [
    "mini-giants merge --model models/SmolLM2-135M --adapter runs/first/adapter --output models/merged",
    "mini-giants merge --model models/base --adapter a=0.7 --adapter b=0.3 --output both --as-adapter",
  ],
  table: MERGE_OPTIONS,
  async run(given, { output }) {
    const options = resolveOptions(MERGE_OPTIONS, given);
    const { mergeFolders } = await import("../workbench/merge-folders.ts");
    await mergeFolders(options);
    output.out(`${options.asAdapter ? "adapter" : "merged model"}: ${options.output}\n`);
    return 0;
  },
};

/** `mini-giants merge`: writes an adapter into its base model. */
import { resolveOptions, type OptionTable } from "../base/options.ts";
import type { MergeOptions } from "../workbench/merge-folders.ts";
import type { Command } from "./command.ts";

const MERGE_OPTIONS: OptionTable<MergeOptions> = {
  model: { group: "Folders", type: "path", placeholder: "DIR", required: true, help: "folder of the base model" },
  adapter: { group: "Folders", type: "path", placeholder: "DIR", required: true, help: "folder of the adapter" },
  output: { group: "Folders", type: "path", placeholder: "DIR", required: true, help: "new folder for the merged model, in Hugging Face's layout" },
};

export const mergeCommand: Command<MergeOptions> = {
  verb: "merge",
  summary: "write an adapter into its base model",
  usage: "--model DIR --adapter DIR --output DIR",
  examples: ["mini-giants merge --model models/SmolLM2-135M --adapter runs/first/adapter --output models/merged"],
  table: MERGE_OPTIONS,
  async run(given, { output }) {
    const options = resolveOptions(MERGE_OPTIONS, given);
    const { mergeFolders } = await import("../workbench/merge-folders.ts");
    await mergeFolders(options);
    output.out(`merged model: ${options.output}\n`);
    return 0;
  },
};

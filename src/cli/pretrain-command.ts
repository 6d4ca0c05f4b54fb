/** `mini-giants pretrain`: trains a new model on text and shows how it goes. */
import { pretrain } from "../train/pretrain.ts";
import { PRETRAIN_OPTIONS, type PretrainOptions } from "../train/pretrain-options.ts";
import type { Command } from "./command.ts";
import { followRun } from "./follow-run.ts";

export const pretrainCommand: Command<PretrainOptions> = {
  verb: "pretrain",
  summary: "train a small model from nothing on text files",
  usage: "--data FILE [--data FILE ...] --output DIR [options]",
  examples: [
    "mini-giants pretrain --data stories.txt --preset 1M --epochs 2 --output runs/first",
    "mini-giants pretrain --output runs/first --resume",
    "mini-giants pretrain --init runs/first/model --data more.txt --output runs/second",
  ],
  table: PRETRAIN_OPTIONS,
  takesRecipe: true,
  async run(given, { output, signal }) {
    const { pretrainPlatform } = await import("../train/node-platform.ts");
    return await followRun(pretrain(given, pretrainPlatform(), signal), `pretrain --output ${given.output} --resume`, output);
  },
};

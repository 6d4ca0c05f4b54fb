/** `mini-giants demo`, which is `npm start`: the main job from base model to tuned adapter, measured before and after. */
import { resolve } from "node:path";
import type { OptionTable } from "../base/options.ts";
import { TUNE_OPTIONS, type TuneOptions } from "../train/tune-options.ts";
import type { Command } from "./command.ts";
import { runTune } from "./tune-command.ts";

/** Tuning's options, of which none is required. */
const DEMO_OPTIONS: OptionTable<TuneOptions> = {
  ...TUNE_OPTIONS,
  model: { ...TUNE_OPTIONS.model, required: false, defaultText: "pebble, which comes with the package" },
  data: { ...TUNE_OPTIONS.data, required: false, defaultText: "questions about stories, which come with the package" },
  output: { ...TUNE_OPTIONS.output, required: false, defaultText: "runs/demo-1, or the next number that is free" },
};

export const demoCommand: Command<TuneOptions> = {
  verb: "demo",
  summary: "the main job: tune, measure before and after, and say how to chat",
  usage: "[--model DIR] [--data FILE] [options]",
  examples: ["npm start", "npm start -- --model models/SmolLM2-135M-Instruct --data examples.jsonl"],
  table: DEMO_OPTIONS,
  takesRecipe: true,
  async run(given, context) {
    const { demoInputs, freeRunFolder } = await import("../demo/demo-run.ts");
    const output = given.output ?? (await freeRunFolder(resolve("runs")));
    return await runTune({ ...demoInputs(given), output }, context);
  },
};

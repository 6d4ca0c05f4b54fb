/** `mini-giants tune`: tunes a model and shows how it goes. */
import { tune } from "../train/tune.ts";
import { TUNE_OPTIONS, type TuneOptions } from "../train/tune-options.ts";
import type { Command, CommandContext } from "./command.ts";
import { followRun } from "./follow-run.ts";

export const tuneCommand: Command<TuneOptions> = {
  verb: "tune",
  summary: "tune a model on a file of examples",
  usage: "--model DIR --data FILE --output DIR [options]",
  examples: [
    "mini-giants tune --model models/SmolLM2-135M --data examples.jsonl --output runs/first",
    "mini-giants tune --output runs/first --resume",
    "mini-giants tune --config runs/first/recipe.yaml --output runs/second --seed 7",
  ],
  table: TUNE_OPTIONS,
  takesRecipe: true,
  run: runTune,
};

/** Runs and shows a tuning run; the exit code is 130 when it was stopped. */
export async function runTune(given: Partial<TuneOptions>, { output, signal }: CommandContext): Promise<number> {
  const { nodePlatform } = await import("../train/node-platform.ts");
  return await followRun(tune(given, nodePlatform(), signal), `tune --output ${given.output} --resume`, output);
}

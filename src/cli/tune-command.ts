/** `mini-giants tune`: tunes a model and shows how it goes. */
import { tune } from "../train/tune.ts";
import { TUNE_OPTIONS, type TuneOptions } from "../train/tune-options.ts";
import type { Command, CommandContext } from "./command.ts";
import { TuneDisplay } from "./tune-display.ts";

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
  const { nodePlatform } = await import("../train/tune-platform.ts");
  const display = new TuneDisplay(output);
  try {
    const run = tune(given, nodePlatform(), signal);
    for (;;) {
      const next = await run.next();
      if (next.done !== true) {
        await display.show(next.value);
        continue;
      }
      if (next.value === "finished") return 0;
      output.err(`hint: npx mini-giants tune --output ${given.output} --resume goes on from here\n`);
      return 130;
    }
  } finally {
    display.close();
  }
}

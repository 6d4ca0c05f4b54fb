/** `mini-giants tune`: tunes a model and shows how it goes; with --compare by several methods, side by side. */
import { COMPARE_OPTIONS, type CompareOptions } from "../train/compare-options.ts";
import { tune } from "../train/tune.ts";
import type { TuneOptions } from "../train/tune-options.ts";
import type { Command, CommandContext } from "./command.ts";
import { followRun } from "./follow-run.ts";

export const tuneCommand: Command<CompareOptions> = {
  verb: "tune",
  summary: "tune a model on a file of examples, or compare methods of tuning it",
  usage: "--model DIR --data FILE --output DIR [options]",
  examples: [
    "mini-giants tune --model models/SmolLM2-135M --data examples.jsonl --output runs/first",
    "mini-giants tune --output runs/first --resume",
    "mini-giants tune --config runs/first/recipe.yaml --output runs/second --seed 7",
    "mini-giants tune --compare lora,dora,full --model DIR --data FILE --output runs/methods",
  ],
  table: COMPARE_OPTIONS,
  takesRecipe: true,
  async run({ compare = [], learningRates, ...given }, context) {
    if (compare.length > 0) return await runComparison({ ...given, compare, ...(learningRates && { learningRates }) }, context);
    if (given.resume === true && given.output !== undefined) {
      const { isComparison } = await import("../train/compare.ts");
      if (await isComparison(given.output)) return await runComparison(given, context);
    }
    return await runTune(given, context);
  },
};

/** Runs and shows a tuning run; the exit code is 130 when it was stopped. */
export async function runTune(given: Partial<TuneOptions>, { output, signal }: CommandContext): Promise<number> {
  const { nodePlatform } = await import("../train/node-platform.ts");
  return await followRun(tune(given, nodePlatform(), signal), `tune --output ${given.output} --resume`, output);
}

/** Runs and shows a comparison; the exit code is 1 when a method failed. */
async function runComparison(given: Partial<CompareOptions>, { output, signal }: CommandContext): Promise<number> {
  const [{ compare }, { CompareDisplay }] = await Promise.all([import("../train/compare.ts"), import("./compare-display.ts")]);
  const display = new CompareDisplay(output);
  const comparison = compare(given, signal);
  let failed = 0;
  try {
    for (;;) {
      const next = await comparison.next();
      if (next.done !== true) {
        if (next.value.type === "failed") failed++;
        await display.show(next.value);
        continue;
      }
      if (next.value === "finished") return failed > 0 ? 1 : 0;
      output.err(`hint: npx mini-giants tune --output ${given.output} --resume goes on from here\n`);
      return 130;
    }
  } finally {
    display.close();
  }
}

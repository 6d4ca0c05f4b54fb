/** `mini-giants plan`: answers questions before anything is trained; which one, the options say. */
import { GiantError } from "../base/errors.ts";
import { flagOf, resolveOptions, type OptionTable } from "../base/options.ts";
import type { Command, CommandContext } from "./command.ts";
import { FIT_OPTIONS, PLAN_OUTPUT_OPTIONS, SCALING_OPTIONS, type PlanOptions } from "./plan-options.ts";

const PLAN_OPTIONS: OptionTable<PlanOptions> = { ...SCALING_OPTIONS, ...FIT_OPTIONS, ...PLAN_OUTPUT_OPTIONS };

/** A question that the verb answers. */
interface PlanMode {
  readonly question: string;
  readonly example: string;
  /** The options that it may have beside those of the output. */
  readonly table: Readonly<Record<string, unknown>>;
  /** Whether the words and options ask it. */
  asks(given: Partial<PlanOptions>, words: readonly string[]): boolean;
  run(options: PlanOptions, context: CommandContext, words: readonly string[]): Promise<number>;
}

const MODES: readonly PlanMode[] = [
  {
    question: "How far does a budget go?",
    example: "mini-giants plan --flops 1e18",
    table: SCALING_OPTIONS,
    asks: (given, words) => words.length === 0 && Object.keys(SCALING_OPTIONS).some((name) => name in given),
    run: async (options, context) => await (await import("./plan-scaling.ts")).runScaling(options, context),
  },
  {
    question: "What law do my own runs follow?",
    example: "mini-giants plan fit runs.csv",
    table: FIT_OPTIONS,
    asks: (_given, words) => words[0] === "fit",
    run: async (options, context, words) => await (await import("./plan-fit.ts")).runFit(options, context, words.slice(1)),
  },
];

export const planCommand: Command<PlanOptions> = {
  verb: "plan",
  summary: "say what a model needs before it is trained",
  usage: "[fit FILE] [options]",
  words: { most: 2, help: [["fit FILE", "fit a law of loss to the runs of a CSV file with the columns parameters, tokens (or flops) and loss"]] },
  examples: [
    "mini-giants plan --flops 5.76e23",
    "mini-giants plan --parameters 135M --tokens 600B",
    "mini-giants plan --target-loss 3.2 --unique-tokens 100M",
    "mini-giants plan --hours 24 --flops-per-second 500B --inference-tokens 10B",
    "mini-giants plan fit runs.csv --output plans/mine",
    "mini-giants plan --flops 1e18 --law plans/mine/plan.json",
  ],
  table: PLAN_OPTIONS,
  async run(given, context, words) {
    const mode = MODES.find((each) => each.asks(given, words));
    if (!mode) throw words.length > 0 ? unknownWord(words[0]!) : nothingAsked();
    for (const name of Object.keys(given)) {
      if (name in mode.table || name in PLAN_OUTPUT_OPTIONS) continue;
      throw new GiantError("usage", `${flagOf(name)} does not belong to this question`, { hint: `It is for: ${exampleOf(name)}` });
    }
    return await mode.run(resolveOptions(PLAN_OPTIONS, given), context, words);
  },
};

function exampleOf(name: string): string {
  return MODES.find(({ table }) => name in table)?.example ?? planCommand.usage;
}

function nothingAsked(): GiantError {
  return new GiantError("usage", "nothing is asked; the options say which question is meant", {
    hint: `The questions are\n${[
      ["How large a model on how much text reaches a loss?", "mini-giants plan --target-loss 3.2"] as const,
      ...MODES.map(({ question, example }) => [question, example] as const),
    ]
      .map(([question, example]) => `  ${question} ${example}`)
      .join("\n")}`,
  });
}

function unknownWord(word: string): GiantError {
  return new GiantError("usage", `unexpected argument ${JSON.stringify(word)}`, {
    hint: "The one word that plan knows is fit: mini-giants plan fit runs.csv.",
  });
}

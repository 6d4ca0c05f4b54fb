/** What a verb of the command line is: its help and its work. */
import { formatOptionHelp, twoColumns } from "../base/option-help.ts";
import { readRecipe, type OptionTable } from "../base/options.ts";
import { parseFlags } from "./flags.ts";
import type { Output } from "./output.ts";

/** What a command gets to work with. */
export interface CommandContext {
  readonly output: Output;
  /** Where a conversation is read from. */
  readonly input: NodeJS.ReadableStream;
  /** Aborted at the first Ctrl-C. */
  readonly signal: AbortSignal;
}

/** A verb. `T` are its options; `run` gets those that were named, in a recipe or on the command line. */
export interface Command<T> {
  readonly verb: string;
  readonly summary: string;
  /** The command line after the verb, for the help text. */
  readonly usage: string;
  readonly examples?: readonly string[];
  /** Words that may stand between the options: their names and their help, and how many at most. None where absent. */
  readonly words?: { readonly most: number; readonly help: readonly (readonly [name: string, help: string])[] };
  readonly table: OptionTable<T>;
  /** True when `--config FILE` may name a recipe. */
  readonly takesRecipe?: boolean;
  /** Does the work; returns the exit code. Throws GiantError for what the user can mend. */
  run(given: Partial<T>, context: CommandContext, words: readonly string[]): Promise<number>;
}

interface EveryVerb {
  readonly help: boolean;
  readonly debug: boolean;
}

const EVERY_VERB: OptionTable<EveryVerb> = {
  help: { group: "Help", type: "boolean", default: false, aliases: ["h"], help: "print this text" },
  debug: { group: "Help", type: "boolean", default: false, help: "print where an error came from" },
};

interface WithRecipe {
  readonly config?: string;
}

const WITH_RECIPE: OptionTable<WithRecipe> = {
  config: {
    group: "Input and output",
    type: "path",
    placeholder: "FILE",
    help: "recipe (YAML) with any of these options; those on the command line come first",
  },
};

/** Runs a verb with the arguments behind it. */
export async function runCommand<T>(command: Command<T>, argv: readonly string[], context: CommandContext): Promise<number> {
  const table = fullTable(command);
  const { given, words } = parseFlags(table, argv, command.words?.most);
  const { help, debug: _debug, config, ...flags } = given as Partial<T> & Partial<EveryVerb & WithRecipe>;
  if (help === true) {
    context.output.out(commandHelp(command));
    return 0;
  }
  const recipe = config === undefined ? {} : await readRecipeFile(command.table, config);
  return await command.run({ ...recipe, ...(flags as unknown as Partial<T>) }, context, words);
}

/** The help text of a verb, made from its option records. */
function commandHelp<T>(command: Command<T>): string {
  const parts = [
    `mini-giants ${command.verb}: ${command.summary}`,
    `Usage: mini-giants ${command.verb} ${command.usage}`,
    ...(command.words ? [`Arguments:\n${verbList(command.words.help)}`] : []),
    formatOptionHelp(fullTable(command)),
  ];
  if (command.examples) parts.push(`Examples:\n${command.examples.map((example) => `  ${example}`).join("\n")}`);
  return `${parts.join("\n\n")}\n`;
}

/** Two columns of verbs and their summaries. */
export function verbList(verbs: readonly (readonly [verb: string, summary: string])[]): string {
  return verbs.flatMap(([verb, summary]) => twoColumns(verb, summary)).join("\n");
}

function fullTable<T>(command: Command<T>): OptionTable<T & EveryVerb & WithRecipe> {
  return { ...(command.takesRecipe === true ? WITH_RECIPE : {}), ...command.table, ...EVERY_VERB } as unknown as OptionTable<T & EveryVerb & WithRecipe>;
}

async function readRecipeFile<T>(table: OptionTable<T>, path: string): Promise<Partial<T>> {
  // Loaded only here: most invocations name no recipe, and a fast start counts.
  const [{ readText }, { parseRecipe }] = await Promise.all([import("../io/folder.ts"), import("../train/recipe.ts")]);
  return readRecipe(table, parseRecipe(await readText(path), path), path);
}

/** The command line from its arguments to its exit code; errors are printed here and nowhere else. */
import { exitCodeOf, GiantError } from "../base/errors.ts";
import { nearestName } from "../base/nearest.ts";
import { runCommand, verbList, type CommandContext } from "./command.ts";
import { VERBS } from "./verbs.ts";

/** Runs `mini-giants ARGV`; returns the exit code: 0 done, 1 the user's input, 2 usage, 70 our bug, 130 interrupted. */
export async function runCli(argv: readonly string[], context: CommandContext, version: () => string): Promise<number> {
  const [verb, ...rest] = argv;
  try {
    if (verb === undefined || verb === "help" || verb === "--help" || verb === "-h") {
      context.output.out(overview());
      return 0;
    }
    if (verb === "--version" || verb === "-v") {
      context.output.out(`${version()}\n`);
      return 0;
    }
    if (!Object.hasOwn(VERBS, verb)) throw unknownVerb(verb);
    return await runCommand(await VERBS[verb]!.load(), rest, context);
  } catch (error) {
    printError(error, context, argv.includes("--debug"));
    return context.signal.aborted && !(error instanceof GiantError) ? 130 : exitCodeOf(error);
  }
}

function overview(): string {
  const verbs = Object.entries(VERBS).map(([verb, { summary }]) => [verb, summary] as const);
  return `mini-giants: make a small open language model your own, on your own machine

Usage: mini-giants VERB [options]

Verbs:
${verbList(verbs)}

mini-giants VERB --help lists the options of a verb; mini-giants --version prints the version.
`;
}

function unknownVerb(verb: string): GiantError {
  const meant = nearestName(verb, Object.keys(VERBS));
  const what = verb.startsWith("-") ? "a verb was needed before" : "unknown verb";
  return new GiantError("usage", `${what} ${JSON.stringify(verb)}`, {
    hint: meant === undefined ? "mini-giants --help lists the verbs." : `Did you mean ${meant}?`,
  });
}

function printError(error: unknown, { output, signal }: CommandContext, debug: boolean): void {
  if (signal.aborted && !(error instanceof GiantError)) {
    output.err("stopped\n");
  } else if (error instanceof GiantError) {
    output.err(`error: ${error.message}\n`);
    if (error.hint !== undefined) output.err(`hint: ${error.hint}\n`);
  } else {
    const message = error instanceof Error ? error.message : String(error);
    output.err(`error: internal: ${message.replaceAll(/\s+/g, " ")}\nhint: This is a bug in mini-giants; --debug shows where.\n`);
  }
  if (debug && error instanceof Error) output.err(`${error.stack ?? ""}\n${error.cause instanceof Error ? `caused by ${error.cause.stack}\n` : ""}`);
}

/** `mini-giants generate`: continues a text; standard output has the text and nothing else. */
import { resolveOptions } from "../base/options.ts";
import { GENERATE_OPTIONS, type GenerateOptions } from "../generate/generate-options.ts";
import type { Command } from "./command.ts";

export const generateCommand: Command<GenerateOptions> = {
  verb: "generate",
  summary: "continue a text",
  usage: "--model DIR --prompt TEXT [options]",
  examples: ['mini-giants generate --model models/stories --prompt "Once upon a time" --greedy'],
  table: GENERATE_OPTIONS,
  async run(given, { output, signal }) {
    const options = resolveOptions(GENERATE_OPTIONS, given);
    const { complete } = await import("../generate/complete.ts");
    let begun = false;
    // The prompt is printed with the first word, so that a failure prints nothing.
    const begin = (): void => {
      if (!begun) output.out(options.prompt);
      begun = true;
    };
    const { ended } = await complete(options, (piece) => (begin(), output.out(piece)), signal);
    begin();
    if (output.outIsTerminal) output.out("\n");
    if (ended === "context") output.err("warning: the text ends where the model's context does\n");
    return ended === "signal" ? 130 : 0;
  },
};

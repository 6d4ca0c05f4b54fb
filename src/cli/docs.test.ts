/** docs/cli.md is made from the option records; it is written anew by `npm run docs`. */
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { runCli } from "./run.ts";
import { VERBS } from "./verbs.ts";

const INTRODUCTION = `# The command line

Made from the option records of the source by \`npm run docs\`; what \`mini-giants VERB --help\` prints is the same text.
Inside a clone the command is \`npx mini-giants\`.

Options may be written \`--name value\` or \`--name=value\`; \`--no-name\` turns off what is on.
Verbs that take \`--config FILE\` read a recipe: YAML with the same options as keys, \`learning_rate\` for \`--learning-rate\`.
What stands on the command line comes before what stands in the recipe. \`--output\`, \`--resume\` and \`--memory-limit\` say nothing about the result and stand in no recipe.

Exit codes: 0 done, 1 the user's input or data, 2 usage, 70 a bug of ours, 130 interrupted.
`;

async function helpOf(verb: string): Promise<string> {
  let text = "";
  const output = {
    out: (piece: string) => void (text += piece),
    err: (piece: string) => void (text += piece),
    live: false,
    outIsTerminal: false,
    columns: 100,
  };
  const code = await runCli([verb, "--help"], { output, input: Readable.from([]), signal: new AbortController().signal }, () => "");
  expect(code).toBe(0);
  return text;
}

test("docs/cli.md holds the help of every verb", async () => {
  const parts = [INTRODUCTION];
  for (const [verb, { summary }] of Object.entries(VERBS)) parts.push(`## ${verb}: ${summary}\n\n\`\`\`text\n${await helpOf(verb)}\`\`\`\n`);
  await expect(parts.join("\n")).toMatchFileSnapshot("../../docs/cli.md");
});

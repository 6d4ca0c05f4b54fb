/** `mini-giants chat`: a conversation in the terminal. */
import { createInterface } from "node:readline/promises";
import { GiantError } from "../base/errors.ts";
import { resolveOptions } from "../base/options.ts";
import type { Conversation } from "../generate/conversation.ts";
import { CHAT_OPTIONS, type ChatOptions } from "../generate/generate-options.ts";
import type { Command } from "./command.ts";
import type { Output } from "./output.ts";

const HELP = `/reset forgets the conversation, /exit ends
/adapters lists the adapters that are loaded, /unload NAME forgets one
/adapter NAME[=WEIGHT] … lets adapters speak, summed by weight; a folder is loaded; /adapter off the bare model
/control TEXT and /strength NUMBER steer a control branch; /control off ends that
`;

export const chatCommand: Command<ChatOptions> = {
  verb: "chat",
  summary: "talk with a model",
  usage: "--model DIR [--adapter DIR[=WEIGHT] …] [options]",
  examples: ["mini-giants chat --model models/SmolLM2-135M-Instruct --adapter runs/first/adapter"],
  table: CHAT_OPTIONS,
  async run(given, { output, input, signal }) {
    const options = resolveOptions(CHAT_OPTIONS, given);
    const { Conversation } = await import("../generate/conversation.ts");
    const conversation = await Conversation.open(options);
    try {
      output.err(HELP);
      await converse(conversation, output, input, signal);
      return 0;
    } finally {
      await conversation.close();
    }
  },
};

/** Reads lines until the end of the input, `/exit`, or Ctrl-C where nothing is being said. */
async function converse(conversation: Conversation, output: Output, input: NodeJS.ReadableStream, signal: AbortSignal): Promise<void> {
  const terminal = output.outIsTerminal;
  const lines = createInterface({ input, ...(terminal ? { output: process.stdout, prompt: "> " } : {}), terminal });
  let answering: AbortController | undefined;
  const interrupt = (): void => (answering ? answering.abort() : lines.close());
  lines.on("SIGINT", interrupt);
  signal.addEventListener("abort", interrupt);
  if (terminal) lines.prompt();
  for await (const line of lines) {
    const text = line.trim();
    if (text === "/exit" || text === "/quit") break;
    try {
      if (text.startsWith("/")) {
        output.err(await obey(conversation, text));
      } else if (text !== "") {
        answering = new AbortController();
        // Some templates leave the space before an answer to the model.
        let begun = false;
        const show = (piece: string): void => {
          const shown = begun ? piece : piece.trimStart();
          begun ||= shown !== "";
          output.out(shown);
        };
        await conversation.say(text, show, answering.signal);
        output.out("\n");
      }
    } catch (error) {
      // A mistake ends one answer, not the conversation.
      if (!(error instanceof GiantError) || error.code === "internal") throw error;
      output.err(`error: ${error.message}\n${error.hint === undefined ? "" : `hint: ${error.hint}\n`}`);
    } finally {
      answering = undefined;
    }
    if (terminal) lines.prompt();
  }
  lines.close();
}

async function obey(conversation: Conversation, command: string): Promise<string> {
  const [, word, rest = ""] = /^\/(\S+)\s*(.*)$/.exec(command) ?? [];
  switch (word) {
    case "reset":
      conversation.reset();
      return "the conversation is forgotten\n";
    case "adapter":
      if (rest !== "") await conversation.useAdapters(rest.trim() === "off" ? [] : wordsOf(rest));
      return `${speakers(conversation)}\n`;
    case "adapters":
      return listed(conversation);
    case "unload":
      if (rest === "") return HELP;
      await conversation.unload(wordsOf(rest)[0]!);
      return `${speakers(conversation)}\n`;
    case "control":
      if (rest !== "") conversation.steer(rest === "off" ? undefined : rest);
      return steered(conversation);
    case "strength":
      if (rest !== "") conversation.steer(conversation.control, Number(rest));
      return steered(conversation);
    default:
      return HELP;
  }
}

function steered({ control, controlStrength }: Conversation): string {
  return control === undefined
    ? `no control steers the answers, strength ${controlStrength}\n`
    : `"${control}" steers the answers, strength ${controlStrength}\n`;
}

/** Words between spaces; quotation marks hold a folder together whose name has spaces. */
function wordsOf(text: string): string[] {
  return (text.match(/(?:"[^"]*"|[^\s"])+/g) ?? []).map((word) => word.replaceAll('"', ""));
}

function speakers({ speaking }: Conversation): string {
  if (speaking.length === 0) return "the bare model speaks";
  const terms = speaking.map(({ name, weight = 1 }) => (weight === 1 ? name : `${weight}·${name}`));
  return `${terms.join(" + ").replaceAll("+ -", "− ")} ${terms.length === 1 ? "speaks" : "speak"}`;
}

function listed({ adapters, speaking }: Conversation): string {
  if (adapters.length === 0) return "no adapter is loaded\n";
  const weightOf = (name: string): string => {
    const weight = speaking.find((adapter) => adapter.name === name)?.weight;
    return weight === undefined ? "silent" : `weight ${weight}`;
  };
  return adapters.map(({ name, folder, method }) => `${name}: ${method}, ${weightOf(name)}, ${folder}\n`).join("");
}

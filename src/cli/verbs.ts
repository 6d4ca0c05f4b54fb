/** The verbs of the command line; each is loaded only when it is called, so that the others cost no start-up time. */
import type { Command } from "./command.ts";

export interface Verb {
  readonly summary: string;
  load(): Promise<Command<never>>;
}

export const VERBS: Readonly<Record<string, Verb>> = {
  tune: { summary: "tune a model on a file of examples", load: async () => erase((await import("./tune-command.ts")).tuneCommand) },
  pretrain: { summary: "train a small model from nothing on text files", load: async () => erase((await import("./pretrain-command.ts")).pretrainCommand) },
  generate: { summary: "continue a text", load: async () => erase((await import("./generate-command.ts")).generateCommand) },
  chat: { summary: "talk with a model", load: async () => erase((await import("./chat-command.ts")).chatCommand) },
  merge: { summary: "write an adapter into its base model", load: async () => erase((await import("./merge-command.ts")).mergeCommand) },
  plan: { summary: "say what a model needs before it is trained", load: async () => erase((await import("./plan-command.ts")).planCommand) },
  doctor: { summary: "say what this machine has and what is missing", load: async () => erase((await import("./doctor-command.ts")).doctorCommand) },
  demo: {
    summary: "the main job: tune, measure before and after, and say how to chat",
    load: async () => erase((await import("./demo-command.ts")).demoCommand),
  },
};

/** Forgets the options' type: a command only ever gets options that its own table has read. */
function erase<T>(command: Command<T>): Command<never> {
  return command as unknown as Command<never>;
}

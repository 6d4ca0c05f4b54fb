/** How a conversation is written for a model without a chat template: Alpaca's prompt, carried over to several turns. */
import type { Message, MessagesContent, Role } from "./record.ts";

/** Alpaca's openings without and with an input, as published (tatsu-lab/stanford_alpaca, README). */
const OPENING = "Below is an instruction that describes a task. Write a response that appropriately completes the request.";
const OPENING_WITH_INPUT =
  "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.";

/** The role headers: Alpaca's own for user and assistant, and one for what tools return. */
const HEADERS: Readonly<Record<Exclude<Role, "system">, string>> = {
  user: "### Instruction:\n",
  assistant: "### Response:\n",
  tool: "### Tool:\n",
};

/** A part of the written conversation; an answer is what the model has to produce, ended by its end-of-text token. */
export interface StyledPart {
  readonly text: string;
  readonly isAnswer: boolean;
}

/**
 * The conversation as alternating prompts and answers.
 * A system message takes the place of Alpaca's opening; a `task` gives its input a header of its own, as Alpaca does.
 */
export function styleMessages({ messages, task }: Pick<MessagesContent, "messages" | "task">): StyledPart[] {
  const parts: StyledPart[] = [];
  const lastUser = messages.findLastIndex((message) => message.role === "user");
  const opensWithTask = task !== undefined && messages.findIndex((message) => message.role === "user") === lastUser;
  let prompt = messages[0]?.role === "system" ? (messages[0].content ?? "") : opensWithTask ? OPENING_WITH_INPUT : OPENING;
  for (const [i, message] of messages.entries()) {
    if (message.role === "system") continue;
    prompt += `${prompt === "" && parts.length === 0 ? "" : "\n\n"}${HEADERS[message.role]}`;
    if (message.role === "assistant") {
      parts.push({ text: prompt, isAnswer: false }, { text: writtenAnswer(message), isAnswer: true });
      prompt = "";
    } else if (task !== undefined && i === lastUser) prompt += `${task.instruction}\n\n### Input:\n${task.input}`;
    else prompt += message.content ?? "";
  }
  if (prompt !== "") parts.push({ text: prompt, isAnswer: false });
  return parts;
}

function writtenAnswer(message: Message): string {
  const calls = message["tool_calls"];
  return (message.content ?? "") + (calls === undefined ? "" : JSON.stringify(calls));
}

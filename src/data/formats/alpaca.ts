/** Stanford Alpaca's format: an instruction, an optional input, an output (tatsu-lab/stanford_alpaca, 2023). */
import { wrong, fieldsOf, filledField, isFields, optionalText } from "../fields.ts";
import type { DataFormat } from "../data-format.ts";
import type { Message } from "../record.ts";

/**
 * The instruction, with the input below it, is what the user says; the output what the assistant answers.
 * LLaMA-Factory's additions are read too: `system`, and `history` as pairs of earlier questions and answers.
 */
export const alpaca: DataFormat = {
  name: "alpaca",
  description: '{"instruction": …, "input": …, "output": …}',
  detect: (value) => isFields(value) && "instruction" in value && "output" in value,
  read(value) {
    const fields = fieldsOf(value, "the record");
    const instruction = filledField(fields, "instruction");
    const input = optionalText(fields, "input");
    const output = filledField(fields, "output");
    const system = optionalText(fields, "system");
    const messages: Message[] = system === "" ? [] : [{ role: "system", content: system }];
    messages.push(...historyOf(fields["history"]));
    const hasInput = input.trim() !== "";
    messages.push({ role: "user", content: hasInput ? `${instruction}\n\n${input}` : instruction });
    messages.push({ role: "assistant", content: output });
    return { kind: "messages", messages, ...(hasInput ? { task: { instruction, input } } : {}) };
  },
};

function historyOf(history: unknown): Message[] {
  if (history === undefined || history === null) return [];
  if (!Array.isArray(history)) throw wrong("history", history, "an array of pairs");
  return history.flatMap((pair: unknown, i): Message[] => {
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((text) => typeof text === "string")) throw wrong(`history[${i}]`, pair, "a pair of texts");
    const [question, answer] = pair as [string, string];
    return [
      { role: "user", content: question },
      { role: "assistant", content: answer },
    ];
  });
}

/** Prompts with their completions: plain text in, plain text out, without a chat template. */
import { fieldsOf, filledField, isFields, textField } from "../fields.ts";
import type { DataFormat } from "../data-format.ts";

export const promptCompletion: DataFormat = {
  name: "prompt-completion",
  description: '{"prompt": …, "completion": …}',
  detect: (value) => isFields(value) && "prompt" in value && "completion" in value,
  read(value) {
    const fields = fieldsOf(value, "the record");
    return { kind: "completion", prompt: textField(fields, "prompt"), completion: filledField(fields, "completion") };
  },
};

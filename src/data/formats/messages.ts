/** OpenAI's chat format: a list of messages with roles. */
import { GiantError } from "../../base/errors.ts";
import { fieldsOf, isFields, textField, wrong } from "../fields.ts";
import type { Fields } from "../fields.ts";
import type { DataFormat } from "../data-format.ts";
import type { Message, Role } from "../record.ts";

const ROLES: readonly Role[] = ["system", "user", "assistant", "tool"];

/** OpenAI's newer name of the system role. */
const DEVELOPER = "developer";

/** Order is checked as far as every template needs it; the model's own template may refuse more. */
export const messages: DataFormat = {
  name: "messages",
  description: '{"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}',
  detect: (value) => isFields(value) && "messages" in value,
  read(value) {
    const fields = fieldsOf(value, "the record");
    const list = fields["messages"];
    if (!Array.isArray(list)) throw wrong("messages", list, "an array");
    if (list.length === 0) throw new GiantError("data", "messages is empty");
    const read = list.map((message: unknown, i) => messageOf(message, i));
    const late = read.findIndex((message, i) => i > 0 && message.role === "system");
    if (late > 0) throw new GiantError("data", `messages[${late}].role is "system", but only the first message may be the system's`);
    if (!read.some((message) => message.role === "assistant")) throw new GiantError("data", "messages has no assistant message: there is nothing to learn");
    const tools = fields["tools"];
    if (tools === undefined || tools === null) return { kind: "messages", messages: read };
    if (!Array.isArray(tools)) throw wrong("tools", tools, "an array");
    return { kind: "messages", messages: read, tools: tools as unknown[] };
  },
};

function messageOf(value: unknown, i: number): Message {
  const path = `messages[${i}]`;
  const fields = fieldsOf(value, path);
  const named = textField(fields, "role", `${path}.role`);
  const role = ROLES.find((each) => each === (named === DEVELOPER ? "system" : named));
  if (role === undefined) throw new GiantError("data", `${path}.role is ${JSON.stringify(named)}, but one of ${ROLES.join(", ")} was needed`);
  return { ...fields, role, content: contentOf(fields, role, path) };
}

function contentOf(fields: Fields, role: Role, path: string): string | null {
  const content = fields["content"];
  const calls = fields["tool_calls"];
  if (role === "assistant" && Array.isArray(calls) && calls.length > 0 && (content === null || content === undefined)) return null;
  if (Array.isArray(content)) return content.map((part: unknown, i) => partOf(part, `${path}.content[${i}]`)).join("");
  return textField(fields, "content", `${path}.content`);
}

function partOf(part: unknown, path: string): string {
  const fields = fieldsOf(part, path);
  if (fields["type"] !== "text") throw wrong(`${path}.type`, fields["type"], '"text"');
  return textField(fields, "text", `${path}.text`);
}

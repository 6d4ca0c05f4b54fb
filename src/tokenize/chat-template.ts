/** Chat templates: finds a model's template and renders messages with it, as `transformers`' `apply_chat_template` does. */
import { Template } from "@huggingface/jinja";
import { GiantError } from "../base/errors.ts";
import { formatTime } from "./python-time.ts";
import type { SpecialTokens } from "./special-tokens.ts";
import { isObject, refuse, shown } from "./tokenizer-json.ts";

/** One message of a conversation; templates may read further fields (`tool_calls`, `name`, `reasoning_content`, …). */
export interface ChatMessage {
  readonly role: string;
  /** Text, a list of parts as some templates take, or null for a message of tool calls only. */
  readonly content: string | readonly Readonly<Record<string, unknown>>[] | null;
  readonly [field: string]: unknown;
}

export interface RenderOptions {
  /** True writes the header of an assistant's answer at the end, so that the model answers next. */
  readonly addGenerationPrompt: boolean;
  /** JSON schemas of functions; chooses the template named `tool_use` where there is one. */
  readonly tools?: readonly unknown[] | undefined;
  readonly documents?: readonly unknown[] | undefined;
  /** What `strftime_now` tells; without it templates that ask take their built-in date. */
  readonly now?: Date | undefined;
  /** The name of one of several templates. */
  readonly templateName?: string | undefined;
  /** Further variables of the template, such as `enable_thinking`. */
  readonly extra?: Readonly<Record<string, unknown>> | undefined;
}

export interface ChatTemplate {
  /** The templates' names; `default` for a single one. */
  readonly names: readonly string[];
  /** The text of each template, by name: part of an adapter's fingerprint. */
  readonly sources: Readonly<Record<string, string>>;
  /** The rendered text; throws GiantError "tokenizer" when the template refuses the messages (`raise_exception`). */
  render(messages: readonly ChatMessage[], options: RenderOptions): string;
  /** The rendered text and the spans that `{% generation %}` marks in it (UTF-16 units); undefined when nothing is marked. */
  renderMarked(
    messages: readonly ChatMessage[],
    options: RenderOptions,
  ): { readonly text: string; readonly spans: readonly (readonly [number, number])[] } | undefined;
}

export interface ChatTemplateSource {
  /** The text of `chat_template.jinja`. */
  readonly jinja: string | undefined;
  /** `chat_template` of `tokenizer_config.json`: a string, or a list of `{ name, template }`. */
  readonly config: unknown;
  readonly specialTokens: SpecialTokens;
  readonly where: string;
}

/** Private-use characters that stand at the borders of `{% generation %}` blocks while spans are looked for. */
const OPEN = "\uE0F0";
const CLOSE = "\uE0F1";

const GENERATION_TAG = /\{%(-?)\s*(end)?generation\s*(-?)%\}/g;

/** The chat template of a model, or undefined when it has none; a template that cannot be parsed is an error. */
export function createChatTemplate(source: ChatTemplateSource): ChatTemplate | undefined {
  const { where, specialTokens } = source;
  const sources = templateSources(source);
  if (sources === undefined) return undefined;
  const plain = new Map<string, Template>();
  const marked = new Map<string, Template>();
  for (const [name, text] of Object.entries(sources)) {
    plain.set(name, parseTemplate(text, name, where));
    const withMarks = markGenerations(text);
    if (withMarks !== text) marked.set(name, parseTemplate(withMarks, name, where));
  }
  const names = [...plain.keys()];

  function choose({ templateName, tools }: RenderOptions): string {
    const name = templateName ?? (tools !== undefined && plain.has("tool_use") ? "tool_use" : "default");
    if (plain.has(name)) return name;
    throw new GiantError("tokenizer", `${where}: chat_template has no template named "${name}", only ${names.join(", ")}`, {
      hint: "Name one of them.",
    });
  }

  function run(template: Template, messages: readonly ChatMessage[], options: RenderOptions): string {
    const { addGenerationPrompt, tools, documents, now, extra } = options;
    const variables: Record<string, unknown> = {
      ...specialTokens,
      messages,
      // As in transformers these two are None, not undefined, when nothing was given.
      tools: tools ?? null,
      documents: documents ?? null,
      add_generation_prompt: addGenerationPrompt,
      ...extra,
    };
    if (now !== undefined) variables[CLOCK] = (format: string): string => formatTime(now, format);
    try {
      return template.render(variables);
    } catch (cause) {
      if (cause instanceof GiantError) throw cause;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new GiantError("tokenizer", `${where}: the chat template refuses these messages: ${reason.replaceAll("\n", " ")}`, {
        hint: "Check the roles and their order; some models know no system role.",
        facts: { roles: messages.map((message) => message.role) },
        cause,
      });
    }
  }

  return {
    names,
    sources,
    render: (messages, options) => run(plain.get(choose(options))!, messages, options),
    renderMarked(messages, options) {
      const template = marked.get(choose(options));
      if (template === undefined) return undefined;
      return readMarks(run(template, messages, options), where);
    },
  };
}

function templateSources({ jinja, config, where }: ChatTemplateSource): Record<string, string> | undefined {
  const field = "tokenizer_config.json: chat_template";
  const named: Record<string, string> = {};
  if (Array.isArray(config)) {
    config.forEach((each: unknown, i) => {
      const name = isObject(each) ? each["name"] : undefined;
      const template = isObject(each) ? each["template"] : undefined;
      if (typeof name !== "string" || typeof template !== "string") refuse(where, `${field}[${i}]`, each, "{ name, template }");
      named[name] = template;
    });
  } else if (isObject(config)) {
    for (const [name, template] of Object.entries(config)) {
      if (typeof template !== "string") refuse(where, `${field}.${name}`, template, "a string");
      named[name] = template;
    }
  } else if (typeof config === "string") {
    named["default"] = config;
  } else if (config !== undefined && config !== null) {
    refuse(where, field, config, "a string or a list of { name, template }");
  }
  if (jinja !== undefined) named["default"] = jinja;
  return Object.keys(named).length === 0 ? undefined : named;
}

/** The name under which `strftime_now` is known inside: the library's own reads the clock and cannot be replaced by a variable. */
const CLOCK = "strftime_now_given";

function parseTemplate(text: string, name: string, where: string): Template {
  try {
    const template = new Template(text);
    renameIdentifier(template.parsed, "strftime_now", CLOCK);
    return template;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GiantError("tokenizer", `${where}: the chat template "${name}" cannot be parsed: ${reason.replaceAll("\n", " ")}`, {
      hint: "The template uses something outside the supported part of Jinja.",
      cause,
    });
  }
}

function renameIdentifier(node: unknown, from: string, to: string): void {
  if (node instanceof Map) {
    for (const [key, value] of node as Map<unknown, unknown>) {
      renameIdentifier(key, from, to);
      renameIdentifier(value, from, to);
    }
  } else if (typeof node === "object" && node !== null) {
    const fields = node as Record<string, unknown>;
    if (fields["type"] === "Identifier" && fields["value"] === from) fields["value"] = to;
    for (const value of Object.values(fields)) renameIdentifier(value, from, to);
  }
}

/** Writes a mark at both ends of each `{% generation %}` block, between block tags so that white space is trimmed as before. */
function markGenerations(source: string): string {
  return source.replaceAll(GENERATION_TAG, (_tag, left: string, end: string | undefined, right: string) => {
    return `{%${left} if true %}{{ "${end === undefined ? OPEN : CLOSE}" }}{% endif ${right}%}`;
  });
}

function readMarks(marked: string, where: string): { text: string; spans: [number, number][] } {
  const spans: [number, number][] = [];
  let text = "";
  let start = -1;
  for (const part of marked.split(/([\uE0F0\uE0F1])/)) {
    if (part === OPEN) {
      start = text.length;
    } else if (part === CLOSE) {
      if (start < 0) throw new GiantError("tokenizer", `${where}: the chat template closes a generation block that it did not open: ${shown(text.slice(-20))}`);
      spans.push([start, text.length]);
      start = -1;
    } else {
      text += part;
    }
  }
  return { text, spans };
}

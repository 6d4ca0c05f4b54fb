/** Encodes a conversation with its chat template, and tells which tokens are an assistant's answers. */
import { GiantError } from "../base/errors.ts";
import type { Alignment } from "./alignment.ts";
import { alignTokens } from "./alignment.ts";
import type { ChatMessage, ChatTemplate, RenderOptions } from "./chat-template.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface ChatEncoding {
  /** The rendered conversation. */
  readonly text: string;
  readonly tokens: number[]; // [T]
  /** The message that each token belongs to (its content, with the end of turn for answers); −1 for the template's own text. */
  readonly messageOfToken: Int32Array; // [T]
  /** 1 for the tokens that an assistant has to produce: the answer and the token that ends its turn. */
  readonly trained: Uint8Array; // [T]
}

/** A span of the rendered text in UTF-16 units. */
type Span = readonly [start: number, end: number];

/** One assistant turn: where the model starts to write, and where its words end. */
interface Turn {
  readonly message: number;
  readonly start: number;
  readonly contentEnd: number;
  /** The end of the text that follows an answer whether or not another message comes. */
  readonly limit: number;
}

/**
 * Renders and encodes `messages`. No special tokens are added: the template writes its own, as in `transformers`'
 * `apply_chat_template(tokenize=True)`, so BOS never stands twice.
 *
 * Answers are found by the template's `{% generation %}` marks, or else by rendering: an answer starts where the
 * conversation before it, rendered with the generation prompt, ends, and it lasts to the first added token behind its
 * content. Throws GiantError "tokenizer" when the template is not stable under prefixes, so that no start can be told.
 */
export function encodeChat(tokenizer: Tokenizer, messages: readonly ChatMessage[], options: RenderOptions): ChatEncoding {
  const template = tokenizer.chatTemplate;
  if (template === undefined) {
    throw new GiantError("tokenizer", `${tokenizer.where}: the tokenizer has no chat template`, {
      hint: "Use a chat (instruct) model, or a prompt/completion data set.",
    });
  }
  const text = template.render(messages, options);
  const tokens = tokenizer.encode(text, { addSpecialTokens: false });
  const alignment = alignTokens(tokenizer, tokens, text);
  const messageOfToken = new Int32Array(tokens.length).fill(-1);
  const trained = new Uint8Array(tokens.length);

  const contents = contentSpans(template, messages, options, text);
  contents.forEach((span, message) => {
    if (span) eachToken(alignment, span, (token) => (messageOfToken[token] = message));
  });
  const train = (span: Span, message: number): void =>
    eachToken(alignment, span, (token) => {
      trained[token] = 1;
      messageOfToken[token] = message;
    });

  const marked = template.renderMarked(messages, options);
  if (marked !== undefined) {
    if (marked.text !== text) {
      throw new GiantError("tokenizer", `${tokenizer.where}: the chat template renders differently with its generation blocks marked`, {
        hint: "Take the generation blocks out of the template, or put them around the answer only.",
      });
    }
    const answers = messages.flatMap((message, i) => (message.role === "assistant" ? [i] : []));
    marked.spans.forEach((span, i) => {
      const overlapping = contents.findIndex((content) => content && content[0] < span[1] && content[1] > span[0]);
      train(span, answers.length === marked.spans.length ? answers[i]! : overlapping);
    });
  } else {
    for (const turn of assistantTurns(tokenizer, template, messages, options, text, contents)) {
      train([turn.start, endOfTurn(tokenizer, tokens, alignment, text, turn)], turn.message);
    }
  }
  return { text, tokens, messageOfToken, trained };
}

/** Calls `visit` for every token that covers some of the span; a token across the start counts as inside. */
function eachToken({ ends, offsetOf }: Alignment, [start, end]: Span, visit: (token: number) => void): void {
  const from = offsetOf(start);
  const to = offsetOf(end);
  let before = 0;
  for (let i = 0; i < ends.length; i++) {
    const after = ends[i]!;
    if (after > from && before < to) visit(i);
    before = after;
  }
}

/** A text that no conversation holds, to find where the template puts a message's content. */
function probe(message: number): string {
  return `\uE0F2${message}\uE0F3`;
}

/** The span of each message's text in the rendering; undefined where there is no text or the template rewrites it. */
function contentSpans(template: ChatTemplate, messages: readonly ChatMessage[], options: RenderOptions, text: string): (Span | undefined)[] {
  const probed = messages.map((message, i) => (typeof message.content === "string" ? { ...message, content: probe(i) } : message));
  const together = placeProbes(tryRender(template, probed, options), messages, text);
  if (together !== undefined) return together;
  // Some templates look into the contents (a "</think>", a tool's response): then one message at a time.
  return messages.map((message, i) => {
    if (typeof message.content !== "string") return undefined;
    const rendered = tryRender(
      template,
      messages.map((each, j) => (j === i ? probed[j]! : each)),
      options,
    );
    const [before, after, ...more] = rendered?.split(probe(i)) ?? [];
    if (before === undefined || after === undefined || more.length > 0) return undefined;
    const fits = text.length >= before.length + after.length && text.startsWith(before) && text.endsWith(after);
    return fits ? [before.length, text.length - after.length] : undefined;
  });
}

/** The spans, when putting each content (or the content without white space around it) in its probe's place gives the text. */
function placeProbes(rendered: string | undefined, messages: readonly ChatMessage[], text: string): (Span | undefined)[] | undefined {
  if (rendered === undefined) return undefined;
  const spans: (Span | undefined)[] = messages.map(() => undefined);
  let at = 0;
  for (const part of rendered.split(/(\uE0F2\d+\uE0F3)/)) {
    const message = part.startsWith("\uE0F2") ? Number(part.slice(1, -1)) : -1;
    const content = message < 0 ? undefined : (messages[message]!.content as string);
    const piece = content === undefined ? part : text.startsWith(content, at) ? content : content.trim();
    if (!text.startsWith(piece, at) || (message >= 0 && spans[message])) return undefined;
    if (message >= 0) spans[message] = [at, at + piece.length];
    at += piece.length;
  }
  const complete = messages.every((message, i) => typeof message.content !== "string" || spans[i]);
  return at === text.length && complete ? spans : undefined;
}

function tryRender(template: ChatTemplate, messages: readonly ChatMessage[], options: RenderOptions): string | undefined {
  try {
    return template.render(messages, options);
  } catch (error) {
    // A template may refuse a part of a conversation that it takes as a whole; the caller then knows nothing of it.
    if (error instanceof GiantError && error.code === "tokenizer") return undefined;
    throw error;
  }
}

function assistantTurns(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: RenderOptions,
  text: string,
  contents: readonly (Span | undefined)[],
): Turn[] {
  const unstable = (message: number, what: string): GiantError =>
    new GiantError("tokenizer", `${tokenizer.where}: the chat template is not prefix-stable: ${what} messages[${message}]`, {
      hint: "Answers cannot be told from prompts with this template; put {% generation %} … {% endgeneration %} around the answer in chat_template.jinja.",
      facts: { message, rendered: text },
    });
  return messages.flatMap((message, i) => {
    if (message.role !== "assistant") return [];
    const content = contents[i];
    const start = promptLength(template, messages, i, options, text, content);
    if (start === undefined || (content && content[0] < start)) {
      throw unstable(i, "the prompt that is written before an answer is not how the conversation begins that holds the answer,");
    }
    // The conversation up to this answer, rendered alone, ends in what always follows an answer.
    const upTo = messages.slice(0, i + 1);
    const closed = { ...options, addGenerationPrompt: false };
    const alone = tryRender(template, upTo, closed);
    const span = content && alone !== undefined ? (alone === text ? content : contentSpans(template, upTo, closed, alone)[i]) : undefined;
    if (content && alone !== undefined && span) {
      const limit = content[1] + commonPrefix(alone.slice(span[1]), text.slice(content[1]));
      return [{ message: i, start, contentEnd: content[1], limit }];
    }
    // An answer without text (tool calls), or one that the template rewrites.
    if (alone === undefined || !text.startsWith(alone)) throw unstable(i, "it cannot be told where the answer ends that is");
    return [{ message: i, start, contentEnd: alone.trimEnd().length, limit: alone.length }];
  });
}

/** How much of the rendering the model reads before it answers as `messages[i]`; undefined when that is not how it begins. */
function promptLength(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  i: number,
  options: RenderOptions,
  text: string,
  content: Span | undefined,
): number | undefined {
  const prompt = i === 0 ? undefined : tryRender(template, messages.slice(0, i), { ...options, addGenerationPrompt: true });
  // No prompt leads to an answer that opens the conversation, or follows what the template does not let one answer.
  if (prompt === undefined) return content?.[0];
  return text.startsWith(prompt) ? prompt.length : undefined;
}

function commonPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

/**
 * Where a turn ends: behind the first added token between its content and its limit, or, when the template ends turns
 * with ordinary text, behind that text without the white space at its end.
 */
function endOfTurn(tokenizer: Tokenizer, tokens: readonly number[], { ends, offsetOf }: Alignment, text: string, turn: Turn): number {
  const from = offsetOf(turn.contentEnd);
  const to = offsetOf(turn.limit);
  for (let i = 0; i < tokens.length && (ends[i - 1] ?? 0) < to; i++) {
    if ((ends[i - 1] ?? 0) < from || ends[i]! > to || !tokenizer.addedIds.has(tokens[i]!)) continue;
    let end = turn.contentEnd;
    while (offsetOf(end) < ends[i]!) end++;
    return end;
  }
  const tail = text.slice(turn.contentEnd, turn.limit);
  // The next turn's header may begin with the same characters as what follows a last answer: a part of a word is not an end.
  const whole = turn.limit === text.length || /\s$/.test(tail) ? tail : tail.replace(/\S+$/, "");
  return turn.contentEnd + (whole.trimEnd() || tail.trimEnd()).length;
}

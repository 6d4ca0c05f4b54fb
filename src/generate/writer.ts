/** Writes text with a model: prompt tokens in, pieces of text out while they are made. */
import { GiantError } from "../base/errors.ts";
import { type AdaptationMethod, placesTaken } from "../peft/method.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { TextStream } from "../tokenize/stream.ts";
import type { LoadedAdapter } from "../workbench/adapter.ts";
import type { OpenModel } from "../workbench/open-model.ts";
import { stopTokensOf } from "../workbench/open-tokenizer.ts";
import type { Controls } from "./cache.ts";
import { openGenerator, type Generator } from "./generator.ts";
import { createSampler, type SamplingOptions } from "./sampler.ts";
import { StopWatch } from "./stop.ts";

export interface WriteOptions extends SamplingOptions {
  readonly maxTokens: number;
  /** Texts that end the answer; they are not part of it. */
  readonly stop?: readonly string[];
  /** Called with each piece of text as soon as it is certain. */
  readonly onText?: (piece: string) => void;
  readonly signal?: AbortSignal;
  /** A text that steers the answer, where the adapter is a control branch. */
  readonly control?: string;
  /** How strongly the control branch counts: 0 is the bare base, 1 as it was trained. */
  readonly controlStrength?: number;
}

export interface Written {
  readonly text: string;
  readonly tokens: readonly number[];
  /** What ended the text: a token or text that means so, the token limit, the end of the context, or the signal. */
  readonly ended: "stop" | "limit" | "context" | "signal";
}

/** A model (with an adapter, or without) that writes. */
export interface Writer {
  readonly tokenizer: Tokenizer;
  /** Longest text in tokens, prompt included: the model's context without the places that the adapter takes. */
  readonly contextLength: number;
  write(prompt: readonly number[], options: WriteOptions): Promise<Written>;
  close(): Promise<void>;
}

/** Opens a writer; the base's weights are shared with every other program on the engine. */
export async function openWriter(engine: Engine, model: OpenModel, tokenizer: Tokenizer, adapter?: LoadedAdapter): Promise<Writer> {
  return writerOn(await openGenerator(engine, model, adapter), model, tokenizer, adapter?.method);
}

/** A writer on a generator under a method, which it closes with itself. */
export function writerOn(generator: Generator, model: OpenModel, tokenizer: Tokenizer, method: AdaptationMethod | undefined): Writer {
  const contextLength = model.architecture.maxPositionEmbeddings - placesTaken(method);
  const stopTokens = stopTokensOf(model, tokenizer);
  return {
    tokenizer,
    contextLength,
    write: async (prompt, options) => {
      const controls = controlsOf(method, tokenizer, options);
      return await write(generator, tokenizer, contextLength, stopTokens, prompt, options, controls);
    },
    close: () => generator.close(),
  };
}

/**
 * The control that options name, as tokens; undefined where the adapter reads none.
 * @throws GiantError("usage") for a control that nobody reads, GiantError("data") for one longer than those trained on.
 */
function controlsOf(method: AdaptationMethod | undefined, tokenizer: Tokenizer, { control = "", controlStrength = 1 }: WriteOptions): Controls | undefined {
  const longest = method?.controlLength;
  if (longest === undefined) {
    if (control === "" && controlStrength === 1) return undefined;
    const found = method === undefined ? "found no adapter" : `found one of the method ${method.name}`;
    throw new GiantError("usage", `a ${control === "" ? "control strength" : "control text"} needs an adapter with a control branch, ${found}`, {
      hint: "Name an adapter that was tuned with --method control, or leave the control out.",
    });
  }
  const tokens = control === "" ? [] : tokenizer.encode(control, { addSpecialTokens: false });
  if (tokens.length > longest) {
    throw new GiantError("data", `the control has ${tokens.length} tokens, the adapter was made for at most ${longest}`, { hint: "Shorten the control." });
  }
  return { tokens: [tokens], strength: controlStrength };
}

async function write(
  generator: Generator,
  tokenizer: Tokenizer,
  contextLength: number,
  stopTokens: readonly number[],
  prompt: readonly number[],
  options: WriteOptions,
  controls: Controls | undefined,
): Promise<Written> {
  if (prompt.length === 0) throw new GiantError("data", "the prompt has no token, needed at least one", { hint: "Give a prompt with some text." });
  const control = controls?.tokens[0]?.length ?? 0;
  if (prompt.length + control >= contextLength) {
    const what = control === 0 ? `the prompt has ${prompt.length} tokens` : `prompt and control have ${prompt.length} + ${control} tokens`;
    throw new GiantError("data", `${what}, the model's context is ${contextLength}`, { hint: "Shorten the prompt." });
  }
  const room = Math.min(options.maxTokens, contextLength - prompt.length - control);
  const stream = new TextStream(tokenizer, { skipSpecialTokens: true });
  // The stream sees the prompt first, so that the first new token keeps the space it begins with.
  for (const token of prompt) stream.push(token);
  const watch = new StopWatch(options.stop ?? []);
  let text = "";
  const tell = (piece: string): void => {
    if (piece === "") return;
    text += piece;
    options.onText?.(piece);
  };
  const [tokens = []] = await generator.generate([prompt], {
    maxTokens: room,
    stopTokens,
    choosers: [createSampler(options)],
    onToken: (_row, token) => {
      tell(watch.push(stream.push(token)));
      return watch.stopped === undefined;
    },
    ...(options.signal ? { signal: options.signal } : {}),
    ...(controls && { controls }),
  });
  tell(watch.push(stream.end()));
  tell(watch.end());
  return { text, tokens, ended: reasonOf(tokens.length, room, options, watch) };
}

function reasonOf(count: number, room: number, { maxTokens, signal }: WriteOptions, watch: StopWatch): Written["ended"] {
  if (watch.stopped !== undefined) return "stop";
  if (signal?.aborted === true) return "signal";
  if (count < room) return "stop";
  return room < maxTokens ? "context" : "limit";
}

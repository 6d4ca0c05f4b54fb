/** Writes text with a model: prompt tokens in, pieces of text out while they are made. */
import { GiantError } from "../base/errors.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { TextStream } from "../tokenize/stream.ts";
import type { LoadedAdapter } from "../workbench/adapter.ts";
import type { OpenModel } from "../workbench/open-model.ts";
import { stopTokensOf } from "../workbench/open-tokenizer.ts";
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
  /** Longest text in tokens, prompt included. */
  readonly contextLength: number;
  write(prompt: readonly number[], options: WriteOptions): Promise<Written>;
  close(): Promise<void>;
}

/** Opens a writer; the base's weights are shared with every other program on the engine. */
export async function openWriter(engine: Engine, model: OpenModel, tokenizer: Tokenizer, adapter?: LoadedAdapter): Promise<Writer> {
  return writerOn(await openGenerator(engine, model, adapter), model, tokenizer);
}

/** A writer on a generator, which it closes with itself. */
export function writerOn(generator: Generator, model: OpenModel, tokenizer: Tokenizer): Writer {
  const contextLength = model.architecture.maxPositionEmbeddings;
  const stopTokens = stopTokensOf(model, tokenizer);
  return {
    tokenizer,
    contextLength,
    write: (prompt, options) => write(generator, tokenizer, contextLength, stopTokens, prompt, options),
    close: () => generator.close(),
  };
}

async function write(
  generator: Generator,
  tokenizer: Tokenizer,
  contextLength: number,
  stopTokens: readonly number[],
  prompt: readonly number[],
  options: WriteOptions,
): Promise<Written> {
  if (prompt.length === 0) throw new GiantError("data", "the prompt has no token, needed at least one", { hint: "Give a prompt with some text." });
  if (prompt.length >= contextLength) {
    throw new GiantError("data", `the prompt has ${prompt.length} tokens, the model's context is ${contextLength}`, { hint: "Shorten the prompt." });
  }
  const room = Math.min(options.maxTokens, contextLength - prompt.length);
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

/** Generates tokens with a KV cache that stays on the device, for one prompt or a left-padded batch of them. */
import { invariant } from "../base/errors.ts";
import { emit } from "../onnx/emit.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import { type CachedProgram, type Controls, KeyValueCache } from "./cache.ts";
import { generationGraph } from "./generation-graph.ts";
import { type AdaptationMethod, virtualTokensOf } from "../peft/method.ts";
import type { Engine, Resident } from "../runtime/engine.ts";
import type { LoadedAdapter } from "../workbench/adapter.ts";
import { MAPPED_WEIGHTS } from "../workbench/session.ts";
import type { OpenModel } from "../workbench/open-model.ts";

/** Chooses the next token of one text. */
export interface TokenChooser {
  next(logits: Float32Array, history: readonly number[]): number;
}

export interface DecodeOptions {
  readonly maxTokens: number;
  /** Tokens that end a text; they are not part of the result. */
  readonly stopTokens: readonly number[];
  /** One chooser per prompt; greedy by default. */
  readonly choosers?: readonly TokenChooser[];
  /** What steers each prompt, for a method that reads control texts. */
  readonly controls?: Controls;
  /** Called with each new token; returning false ends that row. */
  readonly onToken?: (row: number, token: number) => boolean | void;
  readonly signal?: AbortSignal;
}

/** The most likely token; the first of equals. */
export const greedy: TokenChooser = {
  next(logits) {
    let best = 0;
    for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
    return best;
  },
};

export interface Generator {
  /** New tokens of each prompt, without the prompt. */
  generate(prompts: readonly (readonly number[])[], options: DecodeOptions): Promise<number[][]>;
  close(): Promise<void>;
}

/** Opens a generator on a base, or on a base with an adapter; the weights are mapped and shared with other programs. */
export async function openGenerator(engine: Engine, model: OpenModel, adapter?: LoadedAdapter): Promise<Generator> {
  const { architecture } = model;
  const { outputs, presentNames, leaves } = generationGraph(architecture, adapter?.method);
  const graph = emit(outputs, { target: engine.device, weights: model.locate });
  const program = await engine.open(encodeModel(graph), { weightsFolder: model.weightsFolder, sessionConfig: MAPPED_WEIGHTS });
  const adapterFeeds: Record<string, Resident> = {};
  for (const name of leaves.keys()) adapterFeeds[name] = await engine.upload(adapter!.tensors.get(name)!);
  const on = { engine, program, architecture, presentNames, adapterFeeds, ...ownPlaces(adapter?.method, architecture.vocabSize) };
  return generatorOn(on, async () => {
    await engine.release(...Object.values(adapterFeeds));
    await program.close();
  });
}

/** What of a cached program is a method's own, for a vocabulary of V. */
export function ownPlaces(method: AdaptationMethod | undefined, V: number): Pick<CachedProgram, "firstPosition" | "controlled" | "before"> {
  return { firstPosition: method?.firstPosition ?? 0, controlled: method?.controlLength !== undefined, before: virtualTokensOf(method, V) };
}

/** A generator, with a cache of its own, on a program that others may use too; `close` gives back what it was lent. */
export function generatorOn(on: CachedProgram, close: () => Promise<void>): Generator {
  return new CachedGenerator(on, close);
}

class CachedGenerator implements Generator {
  readonly #on: CachedProgram;
  readonly #close: () => Promise<void>;
  /** The last single text's cache: what the next prompt has in common with it need not be run again. */
  #last: KeyValueCache | undefined;

  constructor(on: CachedProgram, close: () => Promise<void>) {
    this.#on = on;
    this.#close = close;
  }

  async generate(prompts: readonly (readonly number[])[], options: DecodeOptions): Promise<number[][]> {
    invariant(
      prompts.every((prompt) => prompt.length > 0),
      "a prompt needs at least one token",
    );
    invariant(options.controls === undefined || this.#on.controlled, "only a method that reads control texts can be steered");
    const asked = prompts.map((prompt) => [...this.#on.before, ...prompt]);
    const [only] = asked;
    const reused = prompts.length === 1 ? (this.#last?.rewindTo(only!, options.controls) ?? 0) : 0;
    if (reused === 0) await this.#forget();
    const cache = this.#last ?? new KeyValueCache(this.#on, prompts.length, options.controls);
    this.#last = undefined;
    try {
      const results = await decode(
        cache,
        prompts,
        asked.map((tokens) => tokens.slice(reused)),
        this.#on.architecture.vocabSize,
        options,
      );
      if (prompts.length === 1) this.#last = cache;
      return results;
    } finally {
      if (this.#last !== cache) await cache.release();
    }
  }

  async #forget(): Promise<void> {
    await this.#last?.release();
    this.#last = undefined;
  }

  async close(): Promise<void> {
    await this.#forget();
    await this.#close();
  }
}

/** Runs `pending`, what of the prompts is not cached yet, and then token by token. */
async function decode(
  cache: KeyValueCache,
  prompts: readonly (readonly number[])[],
  pending: readonly (readonly number[])[],
  V: number,
  { maxTokens, stopTokens, choosers, onToken, signal }: DecodeOptions,
): Promise<number[][]> {
  const results: number[][] = prompts.map(() => []);
  const ended = prompts.map(() => false);
  const stops = new Set(stopTokens);
  let tokens = pending;
  for (let step = 0; step < maxTokens && !signal?.aborted; step++) {
    const logits = await cache.append(tokens);
    tokens = results.map((result, b) => {
      if (ended[b]) return [0];
      const token = (choosers?.[b] ?? greedy).next(logits.subarray(b * V, (b + 1) * V), [...prompts[b]!, ...result]);
      if (stops.has(token)) {
        ended[b] = true;
        return [0];
      }
      result.push(token);
      if (onToken?.(b, token) === false) ended[b] = true;
      return [token];
    });
    if (ended.every(Boolean)) break;
  }
  return results;
}

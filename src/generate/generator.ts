/** Generates tokens with a KV cache that stays on the device, for one prompt or a left-padded batch of them. */
import { type HostTensor, floats, integers } from "../core/dtype.ts";
import { gather, input } from "../core/operations.ts";
import { cachedDecoderInputs } from "../models/architecture.ts";
import { decoderFeeds } from "../models/feeds.ts";
import { emit } from "../onnx/emit.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import { adapt } from "../peft/adapt.ts";
import type { Engine, Program, Resident } from "../runtime/engine.ts";
import { invariant } from "../base/errors.ts";
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
  const { inputs, present } = cachedDecoderInputs(architecture);
  const { context, leaves } = adapt(adapter?.method);
  const hidden = architecture.forward(context, inputs);
  const last = gather(hidden, input("lastRows", "int32", ["N"]));
  const logits = context.linear(architecture.head.path, last, architecture.head.spec);
  const graph = emit({ logits, ...present }, { target: engine.device, weights: model.locate });
  const program = await engine.open(encodeModel(graph), { weightsFolder: model.weightsFolder, sessionConfig: MAPPED_WEIGHTS });
  const adapterFeeds: Record<string, Resident> = {};
  for (const name of leaves.keys()) adapterFeeds[name] = await engine.upload(adapter!.tensors.get(name)!);
  return {
    generate: (prompts, options) => decode(engine, program, model, Object.keys(present), adapterFeeds, prompts, options),
    async close() {
      await engine.release(...Object.values(adapterFeeds));
      await program.close();
    },
  };
}

/** Where a batch of texts stands: what each cached key is, and the tokens that come next. */
interface State {
  readonly B: number;
  /** Per row, positions and segments of all tokens so far; segment 0 is padding on the left. */
  readonly positions: number[][];
  readonly segments: number[][];
  cache: Readonly<Record<string, HostTensor | Resident>>;
}

async function decode(
  engine: Engine,
  program: Program,
  model: OpenModel,
  presentNames: readonly string[],
  adapterFeeds: Readonly<Record<string, Resident>>,
  prompts: readonly (readonly number[])[],
  { maxTokens, stopTokens, choosers, onToken, signal }: DecodeOptions,
): Promise<number[][]> {
  invariant(prompts.every((prompt) => prompt.length > 0), "a prompt needs at least one token");
  const { numKeyValueHeads: K, headDim: D, vocabSize: V } = model.architecture;
  const B = prompts.length;
  const longest = Math.max(...prompts.map((prompt) => prompt.length));
  const empty = floats([B, K, 0, D], new Float32Array(0));
  const state: State = { B, positions: prompts.map(() => []), segments: prompts.map(() => []), cache: Object.fromEntries(presentNames.map((name) => [name, empty])) };
  const results: number[][] = prompts.map(() => []);
  const ended = prompts.map(() => false);
  const stops = new Set(stopTokens);

  let tokens = prompts.map((prompt) => [...Array.from({ length: longest - prompt.length }, () => 0), ...prompt]);
  tokens.forEach((row, b) => {
    const padding = longest - prompts[b]!.length;
    row.forEach((_, t) => {
      state.positions[b]!.push(Math.max(0, t - padding));
      state.segments[b]!.push(t < padding ? 0 : 1);
    });
  });
  try {
    for (let step = 0; step < maxTokens && !signal?.aborted; step++) {
      const logits = await forward(engine, program, model, presentNames, adapterFeeds, state, tokens);
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
      for (let b = 0; b < B; b++) {
        state.positions[b]!.push(state.positions[b]!.at(-1)! + 1);
        state.segments[b]!.push(1);
      }
    }
  } finally {
    await releaseCache(engine, state.cache);
  }
  return results;
}

async function releaseCache(engine: Engine, cache: State["cache"]): Promise<void> {
  await engine.release(...Object.values(cache).filter((tensor): tensor is Resident => "id" in tensor));
}

/** Runs the newest tokens of every row; the cache moves on. Returns the logits after each row's last token, [B*V]. */
async function forward(
  engine: Engine,
  program: Program,
  model: OpenModel,
  presentNames: readonly string[],
  adapterFeeds: Readonly<Record<string, Resident>>,
  state: State,
  tokens: readonly (readonly number[])[],
): Promise<Float32Array> {
  const { B } = state;
  const T = tokens[0]!.length;
  const S = state.positions[0]!.length;
  const newest = (rows: readonly number[][]): Int32Array => Int32Array.from(rows.flatMap((row) => row.slice(S - T)));
  const feeds: Record<string, HostTensor | Resident> = {
    ...adapterFeeds,
    ...decoderFeeds(model.architecture, { rows: B, length: T, tokens: Int32Array.from(tokens.flat()), positions: newest(state.positions), segments: newest(state.segments) }),
    keyPositions: integers([B, S], state.positions.flat()),
    keySegments: integers([B, S], state.segments.flat()),
    lastRows: integers([B], Array.from({ length: B }, (_, b) => (b + 1) * T - 1)),
  };
  for (const name of presentNames) feeds[name.replace("present", "past")] = state.cache[name]!;
  const used = Object.fromEntries(program.inputNames.map((name) => [name, feeds[name]!]));
  const outputs = await program.run(used, { logits: "host", ...Object.fromEntries(presentNames.map((name) => [name, "resident" as const])) });
  const { logits, ...present } = outputs;
  await releaseCache(engine, state.cache);
  state.cache = present;
  return (logits as HostTensor).data as Float32Array;
}

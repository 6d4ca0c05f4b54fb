/** Logits of a model at every position, with or without an adapter, as tests of laws compare them. */
import type { HostTensor } from "../src/core/dtype.ts";
import { Random } from "../src/base/random.ts";
import type { Batch } from "../src/data/batch.ts";
import { layOutControls } from "../src/data/control.ts";
import { decoderInputs } from "../src/models/architecture.ts";
import { controlFeeds } from "../src/models/control-feeds.ts";
import { decoderFeeds, padToBlocks } from "../src/models/feeds.ts";
import { forward } from "../src/nn/decoder.ts";
import { emit } from "../src/onnx/emit.ts";
import { encodeModel } from "../src/onnx/protobuf.ts";
import { adapt } from "../src/peft/adapt.ts";
import type { Engine } from "../src/runtime/engine.ts";
import type { LoadedAdapter } from "../src/workbench/adapter.ts";
import type { OpenModel } from "../src/workbench/open-model.ts";
import { MAPPED_WEIGHTS } from "../src/workbench/session.ts";

export interface LogitsProgram {
  /** [B*T*V] of a batch of any length, with the adapter's tensors as they were when opened, or others. */
  of(batch: Batch, tensors?: LoadedAdapter["tensors"], controlStrength?: number): Promise<Float32Array>;
  close(): Promise<void>;
}

/** Opens a program for the logits without a cache. */
export async function openLogits(engine: Engine, model: OpenModel, adapter?: LoadedAdapter): Promise<LogitsProgram> {
  const { architecture } = model;
  const inputs = decoderInputs(architecture);
  const { context, leaves } = adapt(adapter?.method, { inputs });
  const hidden = forward(architecture.decoder, context, inputs);
  const graph = emit({ logits: context.linear(architecture.head.path, hidden, architecture.head.spec) }, { target: engine.device, weights: model.locate });
  const program = await engine.open(encodeModel(graph), { weightsFolder: model.weightsFolder, sessionConfig: MAPPED_WEIGHTS });
  return {
    async of(batch, tensors = adapter?.tensors, controlStrength = 1) {
      const padded = padToBlocks(batch);
      const feeds: Record<string, HostTensor> = {
        ...decoderFeeds(architecture, padded, adapter?.method.firstPosition),
        ...controlFeeds(architecture, padded, batch.control, controlStrength),
        ...Object.fromEntries([...leaves.keys()].map((name) => [name, tensors!.get(name)!])),
      };
      const { logits } = await program.run(Object.fromEntries(program.inputNames.map((name) => [name, feeds[name]!])), { logits: "host" });
      const all = (logits as HostTensor).data as Float32Array;
      const V = architecture.vocabSize;
      const rows = Array.from({ length: batch.rows }, (_, b) => all.subarray(b * padded.length * V, (b * padded.length + batch.length) * V));
      return Float32Array.from({ length: batch.rows * batch.length * V }, (_, i) => rows[Math.floor(i / (batch.length * V))]![i % (batch.length * V)]!);
    },
    close: () => program.close(),
  };
}

/** Random tokens. */
export function randomTokens(random: Random, length: number, vocabSize: number): number[] {
  return Array.from({ length }, () => random.integer(vocabSize));
}

/** One example of a packed row: its tokens; the first `unlabelled` predictions are not trained on. */
export interface Example {
  readonly tokens: readonly number[];
  readonly unlabelled?: number;
  /** The tokens of its control text. */
  readonly control?: readonly number[];
}

/**
 * Rows of examples: each row holds its examples one after another with segments 1, 2, … and positions from 0, and padding
 * (token 0) behind them, or in front of them when `left`.
 */
export function rowsOf(
  rows: readonly (readonly Example[])[],
  options: { readonly length?: number; readonly left?: boolean; readonly padding?: number } = {},
): Batch {
  const sizes = rows.map((examples) => examples.reduce((sum, { tokens }) => sum + tokens.length, 0));
  const length = options.length ?? Math.max(...sizes);
  const batch = {
    rows: rows.length,
    length,
    tokens: new Int32Array(rows.length * length).fill(options.padding ?? 0),
    positions: new Int32Array(rows.length * length),
    segments: new Int32Array(rows.length * length),
  };
  const labelRows: number[] = [];
  const labelIds: number[] = [];
  rows.forEach((examples, b) => {
    let at = b * length + (options.left ? length - sizes[b]! : 0);
    examples.forEach(({ tokens, unlabelled = 0 }, s) => {
      tokens.forEach((token, t) => {
        batch.tokens[at] = token;
        batch.positions[at] = t;
        batch.segments[at] = s + 1;
        if (t + 1 < tokens.length && t >= unlabelled) {
          labelRows.push(at);
          labelIds.push(tokens[t + 1]!);
        }
        at++;
      });
    });
  });
  const control = layOutControls(
    rows.map((examples) => examples.map(({ control: tokens }) => tokens)),
    1,
    options.padding ?? 0,
  );
  return { ...batch, ...(control && { control }), labelRows: Int32Array.from(labelRows), labelIds: Int32Array.from(labelIds) };
}

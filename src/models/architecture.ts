/** What every model family gives: its dimensions, and the forward pass as a function of a context and inputs. */
import { concat, input, parameter } from "../core/operations.ts";
import { type Dim, product, total } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { LayerCache } from "../nn/attention.ts";
import { moduleOf, plainContext, extendContext } from "../nn/context.ts";
import { type BaseModel, type ControlledInputs, type DecoderInputs, forward } from "../nn/decoder.ts";
import type { Inventory, LinearModule, SublayerModule } from "../nn/inventory.ts";
import { attentionMasks, type MaskInputs, QUERY_BLOCKS } from "../nn/mask.ts";
import type { RotarySpec } from "../nn/rotary.ts";

/** A model of a known family with the dimensions of one config.json. */
export interface Architecture extends BaseModel {
  readonly intermediateSize: number;
  /** Longest sequence the model was made for. */
  readonly maxPositionEmbeddings: number;
  readonly tieWordEmbeddings: boolean;
  /** Rotary tables the forward pass asks for, by key; none with learned positions. */
  readonly rotary: Readonly<Record<string, RotarySpec>>;
  readonly bosTokenId: number | undefined;
  readonly eosTokenIds: readonly number[];
}

/** Length of a row without a cache: a multiple of the number of query blocks. */
export function lengthOf(queryBlocks: number): Dim {
  return product([queryBlocks, "Q"]);
}

/** Length of keys and values once the new tokens stand behind the cached ones. */
export const CACHED_LENGTH: string = total(["P", "T"]) as string;

/** Inputs of a graph without a cache: training and scoring. */
export function decoderInputs(architecture: Architecture, queryBlocks: number = QUERY_BLOCKS): DecoderInputs {
  const length = lengthOf(queryBlocks);
  const token = (name: string): Tensor => input(name, "int32", ["B", length]);
  const [tokens, positions, segments] = [token("tokens"), token("positions"), token("segments")];
  const maskInputs = { positions, segments, keyPositions: positions, keySegments: segments };
  return {
    tokens,
    positions,
    segments,
    length,
    masks: sharedMasks(maskInputs),
    rotary: rotaryInputs(architecture, length),
    cache: () => undefined,
    controlled: () => controlledInputs(architecture, { tokens, segments, length }),
  };
}

/** Inputs of a graph with a cache of P earlier tokens, and the cache's tensors after the new ones, filled by the forward pass. */
export function cachedDecoderInputs(architecture: Architecture): { readonly inputs: DecoderInputs; readonly present: Record<string, Tensor> } {
  const token = (name: string): Tensor => input(name, "int32", ["B", "T"]);
  const [tokens, positions, segments] = [token("tokens"), token("positions"), token("segments")];
  const keyPositions = input("keyPositions", "int32", ["B", CACHED_LENGTH]);
  const keySegments = input("keySegments", "int32", ["B", CACHED_LENGTH]);
  const present: Record<string, Tensor> = {};
  const cacheOf =
    (stream: string, earlier: Dim) =>
    (layer: number): LayerCache => {
      const past = (name: string): Tensor =>
        input(`past.${stream}${layer}.${name}`, "float32", ["B", architecture.numKeyValueHeads, earlier, architecture.headDim]);
      return {
        key: past("key"),
        value: past("value"),
        record: (key, value) => {
          present[`present.${stream}${layer}.key`] = key;
          present[`present.${stream}${layer}.value`] = value;
        },
      };
    };
  const maskInputs = { positions, segments, keyPositions, keySegments };
  const inputs = {
    tokens,
    positions,
    segments,
    length: "T",
    masks: sharedMasks(maskInputs),
    rotary: rotaryInputs(architecture, "T"),
    cache: cacheOf("", "P"),
    controlled: () => controlledInputs(architecture, { tokens, segments, length: "T" }, cacheOf("control.", "E")),
  };
  return { inputs, present };
}

/**
 * The stream [control ; tokens]. Its inputs: `control.tokens` and `control.segments` [B, U], `control.positions` of the whole
 * stream, its rotary tables, `control.strength`; with a cache of E earlier places `control.keyPositions` and
 * `control.keySegments` too. Segments and positions say who sees whom: a control stands before its own segment's tokens.
 */
function controlledInputs(
  architecture: Architecture,
  text: Pick<DecoderInputs, "tokens" | "segments" | "length">,
  cache?: (layer: number) => LayerCache,
): ControlledInputs {
  const length = total(["U", text.length]);
  const whole = (name: string, places: Dim): Tensor => input(`control.${name}`, "int32", ["B", places]);
  const [tokens, segments] = (["tokens", "segments"] as const).map((name) => concat([whole(name, "U"), text[name]], 1)) as [Tensor, Tensor];
  const positions = whole("positions", length);
  const keys = total(["E", length]);
  const maskInputs =
    cache === undefined
      ? { positions, segments, keyPositions: positions, keySegments: segments }
      : { positions, segments, keyPositions: whole("keyPositions", keys), keySegments: whole("keySegments", keys) };
  const inputs: DecoderInputs = {
    tokens,
    positions,
    segments,
    length,
    masks: sharedMasks(maskInputs),
    rotary: rotaryInputs(architecture, length, "control."),
    cache: cache ?? (() => undefined),
  };
  return { inputs, controlLength: "U", strength: input("control.strength", "float32", []) };
}

function sharedMasks(inputs: MaskInputs): DecoderInputs["masks"] {
  const made = new Map<string, readonly Tensor[]>();
  return (group, window, prefix = 0) => {
    const key = `${group} ${window} ${prefix}`;
    let masks = made.get(key);
    if (masks === undefined) made.set(key, (masks = attentionMasks(inputs, group, window, prefix)));
    return masks;
  };
}

function rotaryInputs(architecture: Architecture, length: Dim, stream = ""): DecoderInputs["rotary"] {
  const tables = new Map<string, ReturnType<DecoderInputs["rotary"]>>();
  for (const [key, { width }] of Object.entries(architecture.rotary)) {
    const table = (part: string): Tensor => input(`${stream}rotary.${key}.${part}`, "float32", ["B", length, width / 2]);
    tables.set(key, { cos: table("cos"), sin: table("sin") });
  }
  return (key) => tables.get(key)!;
}

/** Asks the forward pass what it uses, so that no list has to be kept beside it. */
export function takeInventory(architecture: Architecture): Inventory {
  const parameters = new Map<string, readonly number[]>();
  const linears: LinearModule[] = [];
  const embeddings: { path: string; rows: number; width: number }[] = [];
  const modules = new Set<string>();
  const attentions: string[] = [];
  const sublayers: SublayerModule[] = [];
  const plain = plainContext({
    leaf: (name, shape) => {
      parameters.set(name, shape);
      modules.add(moduleOf(name));
      return parameter(name, shape);
    },
  });
  const recording = extendContext(plain, {
    linear: (path, x, spec) => {
      linears.push({ path, spec });
      return plain.linear(path, x, spec);
    },
    embedding: (path, ids, spec) => {
      embeddings.push({ path, ...spec });
      return plain.embedding(path, ids, spec);
    },
    attention: (path, inputs) => {
      attentions.push(path);
      return plain.attention(path, inputs);
    },
    sublayer: (path, kind, residual, output) => {
      sublayers.push({ path, kind });
      return plain.sublayer(path, kind, residual, output);
    },
  });
  const hidden = forward(architecture.decoder, recording, decoderInputs(architecture));
  plain.linear(architecture.head.path, hidden, architecture.head.spec);
  modules.add(architecture.head.path);
  return { parameters, linears, embeddings, attentions, sublayers, modules };
}

/** A decoder as its parts: what it is fed with, and the pieces that its forward pass is put together from. */
import type { Dim } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { LayerCache } from "./attention.ts";
import type { LinearSpec, ModelContext } from "./context.ts";

/** The tensors a decoder is fed with. */
export interface DecoderInputs {
  readonly tokens: Tensor; // [B, T] int32
  readonly positions: Tensor; // [B, T] int32
  readonly segments: Tensor; // [B, T] int32
  /** T: without a cache a number of blocks of queries, such as "4*Q"; with one "T". */
  readonly length: Dim;
  /**
   * Attention masks for groups of query heads, a window size, and keys put in front of all others; one per block of
   * queries, made once and shared by the layers.
   */
  readonly masks: (group: number, window?: number, prefix?: number) => readonly Tensor[];
  /** cos and sin [B, T, width/2] by key of the architecture's `rotary`. */
  readonly rotary: (key: string) => { readonly cos: Tensor; readonly sin: Tensor };
  readonly cache: (layer: number) => LayerCache | undefined;
  /**
   * The inputs of a second stream in which a control text stands before the tokens. They come into the graph when they are
   * asked for; absent in that stream itself.
   */
  readonly controlled?: () => ControlledInputs;
}

/** The stream [control text ; tokens] of a method that reads a control text. */
export interface ControlledInputs {
  readonly inputs: DecoderInputs;
  /** U: how many places stand before the tokens. */
  readonly controlLength: Dim;
  /** How strongly the control branch counts, rank 0. */
  readonly strength: Tensor;
}

/** One block of a decoder. */
export interface DecoderBlock {
  /** Its module path, e.g. "model.layers.3". */
  readonly path: string;
  /** h [B*T, C] → [B*T, C]. */
  readonly compute: (context: ModelContext, inputs: DecoderInputs, h: Tensor) => Tensor;
}

/** The pieces of a forward pass; a method may run some of them a second time, in a context of its own. */
export interface Decoder {
  /** Tokens → [B*T, C]. */
  readonly embed: (context: ModelContext, inputs: DecoderInputs) => Tensor;
  readonly blocks: readonly DecoderBlock[];
  /** The norm behind the last block. */
  readonly norm: (context: ModelContext, h: Tensor) => Tensor;
}

/** What an adaptation method may know of the model it adapts. */
export interface BaseModel {
  readonly modelType: string;
  readonly hiddenSize: number; // C
  readonly numHiddenLayers: number; // L
  readonly numAttentionHeads: number; // H
  readonly numKeyValueHeads: number; // K
  readonly headDim: number; // D
  readonly vocabSize: number; // V
  readonly decoder: Decoder;
  /** Path and form of the head: hidden rows [N, C] → logits [N, V]. */
  readonly head: { readonly path: string; readonly spec: LinearSpec };
}

/** Tokens → hidden states after the final norm, [B*T, C]. */
export function forward({ embed, blocks, norm }: Decoder, context: ModelContext, inputs: DecoderInputs): Tensor {
  let h = embed(context, inputs);
  for (const { path, compute } of blocks) h = context.block(path, h, (x) => compute(context, inputs, x));
  return norm(context, h);
}

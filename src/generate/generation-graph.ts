/** The graph of generation: logits of each text's last token, and the cache with the new keys and values. */
import { gather, input } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";
import { type Architecture, cachedDecoderInputs } from "../models/architecture.ts";
import { forward } from "../nn/decoder.ts";
import { headLogits } from "../nn/loss.ts";
import { adapt } from "../peft/adapt.ts";
import type { AdaptationMethod } from "../peft/method.ts";

export interface GenerationGraph {
  /** `logits` [N, V] of the rows that the input `lastRows` [N] names, and the cache's tensors under `present.*`. */
  readonly outputs: Record<string, Tensor>;
  readonly presentNames: readonly string[];
  /** The method's tensors as graph inputs, by name. */
  readonly leaves: ReadonlyMap<string, Tensor>;
}

/** The graph of a base, or of a base under a method. Inputs: those of `cachedDecoderInputs`, `lastRows`, the method's tensors. */
export function generationGraph(architecture: Architecture, method?: AdaptationMethod): GenerationGraph {
  const { inputs, present } = cachedDecoderInputs(architecture);
  const { context, leaves } = adapt(method, { inputs });
  const hidden = forward(architecture.decoder, context, inputs);
  const last = gather(hidden, input("lastRows", "int32", ["N"]));
  const logits = headLogits(context, architecture.head, last);
  return { outputs: { logits, ...present }, presentNames: Object.keys(present), leaves };
}

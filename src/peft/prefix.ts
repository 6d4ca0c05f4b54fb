/**
 * Prefix tuning (Li & Liang 2021, arXiv 2101.00190): trained keys and values in front of those of every layer.
 *
 *   head = softmax(q·[P_k; k]ᵀ/√D)·[P_v; v],  P_k and P_v [P, K, D] of each layer, never rotated
 *   with the reparametrisation:  prefix = W₂·tanh(W₁·E + b₁) + b₂,  E [P, K·D]
 *
 * The text's positions begin at P. PEFT's file holds `prompt_embeddings` [P, L·2·K·D] alone: [P, 2L, K, D] with the keys
 * of layer l at 2l and its values at 2l + 1. The MLP is of use only while it is trained.
 */
import { add, matmul, reshape, slice, tanh } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";
import { extendContext } from "../nn/context.ts";
import type { BaseModel } from "../nn/decoder.ts";
import type { Inventory } from "../nn/inventory.ts";
import type { AdaptationMethod, AdapterTensor, Initial } from "./method.ts";
import { type PrefixConfig, prefixWidth, writePrefixConfig } from "./prefix-config.ts";

export const PROMPT_EMBEDDINGS = "prompt_embeddings";

const ENCODER = { embedding: "embedding.weight", W1: "transform.0.weight", b1: "transform.0.bias", W2: "transform.2.weight", b2: "transform.2.bias" };

type Base = Pick<BaseModel, "numHiddenLayers" | "numKeyValueHeads" | "headDim">;

/** The prefix as a file holds it: the keys and values themselves, whether an MLP computed them once or not. */
export function prefix(config: PrefixConfig, inventory: Inventory, base: Base): AdaptationMethod {
  const { numVirtualTokens: P, zeroInit } = config;
  const initial: Initial = zeroInit ? { kind: "zeros" } : { kind: "normal", deviation: 1 };
  const shape = [P, 2 * base.numHiddenLayers * prefixWidth(base)];
  return {
    ...prefixMethod(config, inventory, base, (tensor) => tensor(PROMPT_EMBEDDINGS)),
    tensors: new Map([[PROMPT_EMBEDDINGS, { shape, initial, trained: true }]]),
    layout: { weightsFile: "adapter_model.safetensors", config: (name) => writePrefixConfig(config, name, base) },
  };
}

/** The prefix as it is trained: its MLP, where the configuration has one. */
export function prefixInTraining(config: PrefixConfig, inventory: Inventory, base: Base): AdaptationMethod {
  const file = prefix(config, inventory, base);
  if (!config.prefixProjection) return file;
  const computed = (tensor: (name: string) => Tensor): Tensor => {
    const inner = tanh(add(matmul(tensor(ENCODER.embedding), tensor(ENCODER.W1), { transposeB: true }), tensor(ENCODER.b1)));
    return add(matmul(inner, tensor(ENCODER.W2), { transposeB: true }), tensor(ENCODER.b2)); // [P, 2L·K·D]
  };
  return {
    ...prefixMethod(config, inventory, base, computed),
    tensors: encoderTensors(config, base),
    layout: file.layout!,
    exported: { method: file, tensors: (tensor) => new Map([[PROMPT_EMBEDDINGS, computed(tensor)]]) },
  };
}

/** As torch.nn.Embedding and torch.nn.Linear begin: N(0, 1), and both weight and bias within 1/√in. */
function encoderTensors({ numVirtualTokens: P, encoderHiddenSize, zeroInit }: PrefixConfig, base: Base): Map<string, AdapterTensor> {
  const width = prefixWidth(base);
  const [inner, all] = [encoderHiddenSize ?? width, 2 * base.numHiddenLayers * width];
  const within = (inputs: number): Initial => ({ kind: "uniform", bound: 1 / Math.sqrt(inputs) });
  const last: Initial = zeroInit ? { kind: "zeros" } : within(inner);
  const described: readonly (readonly [string, readonly number[], Initial])[] = [
    [ENCODER.embedding, [P, width], { kind: "normal", deviation: 1 }],
    [ENCODER.W1, [inner, width], within(width)],
    [ENCODER.b1, [inner], within(width)],
    [ENCODER.W2, [all, inner], last],
    [ENCODER.b2, [all], last],
  ];
  return new Map(described.map(([name, shape, initial]) => [name, { shape, initial, trained: true }]));
}

/** What both forms have in common; `embeddings` gives [P, 2L·K·D]. */
function prefixMethod(
  { numVirtualTokens: P }: PrefixConfig,
  inventory: Inventory,
  base: Base,
  embeddings: (tensor: (name: string) => Tensor) => Tensor,
): Omit<AdaptationMethod, "tensors"> {
  const layers = new Map(inventory.attentions.map((path, layer) => [path, layer]));
  const { numKeyValueHeads: K, headDim: D } = base;
  const width = prefixWidth(base);
  return {
    name: "prefix",
    replacement: () => undefined,
    firstPosition: P,
    context: (inner, tensor) => {
      const all = embeddings(tensor);
      const part = (i: number): Tensor => reshape(slice(all, 1, i * width, width), [P, K, D]);
      return extendContext(inner, {
        attention: (path, inputs) => {
          const layer = layers.get(path);
          return inner.attention(path, layer === undefined ? inputs : { ...inputs, prefix: { key: part(2 * layer), value: part(2 * layer + 1) } });
        },
      });
    },
    merging: { possible: false, reason: "keys and values in front of every text are no change of the base's weights" },
  };
}

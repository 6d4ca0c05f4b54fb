/**
 * LLaMA-Adapter (Zhang et al. 2023, arXiv 2303.16199): a trained prompt for the attention of each of the last layers,
 * let in by a gate that begins at zero.
 *
 *   head = softmax(q·kᵀ/√D)·v + g·softmax(q·(W_k·P)ᵀ/√D)·(W_v·P),  P [M, C],  g a number
 *
 * The prompt's keys and values come of the layer's own projections and are not rotated. Tensor names are the keys of
 * PEFT's adapter_model.safetensors, and on the families that PEFT knows the sums are its sums:
 * - LLaMA and Mistral: the second term passes the output layer by itself, so that a bias of that layer counts twice;
 * - GPT-2: the second term is added behind the output layer and never passes it.
 */
import { GiantError } from "../base/errors.ts";
import { add, matmul, mul, reshape, scale, softmax, transpose } from "../core/operations.ts";
import { type Dim, numeric, product } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { AttentionInputs } from "../nn/attention.ts";
import { extendContext } from "../nn/context.ts";
import type { BaseModel } from "../nn/decoder.ts";
import type { Inventory } from "../nn/inventory.ts";
import { type AdaptionPromptConfig, writeAdaptionPromptConfig } from "./adaption-prompt-config.ts";
import type { AdaptationMethod, AdapterTensor } from "./method.ts";

type Base = Pick<BaseModel, "modelType" | "hiddenSize">;

const lastPart = (path: string): string => path.slice(path.lastIndexOf(".") + 1);

/** The prompts of the last layers of a base. */
export function adaptionPrompt(config: AdaptionPromptConfig, inventory: Inventory, { modelType, hiddenSize }: Base): AdaptationMethod {
  const { adapterLen: M, adapterLayers } = config;
  const { attentions } = inventory;
  const attention = lastPart(attentions[0]!);
  if (config.targetModules !== undefined && config.targetModules !== attention) {
    throw new GiantError("adapter", `target_modules is ${JSON.stringify(config.targetModules)}; the attention modules of this model are named ${attention}`);
  }
  if (adapterLayers > attentions.length) {
    throw new GiantError("adapter", `adapter_layers is ${adapterLayers}; the model has ${attentions.length} layers`, { hint: "Choose fewer layers." });
  }
  const adapted = new Set(attentions.slice(-adapterLayers));
  const key = (path: string, tensor: string): string => `base_model.model.${path}.${tensor}`;
  const tensors = new Map<string, AdapterTensor>();
  for (const path of adapted) {
    tensors.set(key(path, "adaption_prompt"), { shape: [1, M, hiddenSize], initial: { kind: "normal", deviation: 1 }, trained: true });
    tensors.set(key(path, "adaption_gate"), { shape: [1], initial: { kind: "zeros" }, trained: true });
  }
  return {
    name: "adaption-prompt",
    tensors,
    replacement: () => undefined,
    context: (inner, tensor) => {
      /** GPT-2's second terms between attention and output layer, which follow each other in every pass over a block. */
      const waiting = new Map<string, Tensor>();
      return extendContext(inner, {
        attention(path, inputs) {
          const mixed = inner.attention(path, inputs);
          if (!adapted.has(path)) return mixed;
          const prompt = reshape(tensor(key(path, "adaption_prompt")), [M, hiddenSize]);
          const term = promptTerm(inputs, prompt, tensor(key(path, "adaption_gate")));
          if (modelType !== "gpt2") return add(mixed, term);
          waiting.set(`${path}.c_proj`, term);
          return mixed;
        },
        linear(path, x, spec) {
          const y = inner.linear(path, x, spec);
          const term = waiting.get(path);
          if (term !== undefined) return add(y, term);
          const twice = (modelType === "llama" || modelType === "mistral") && path.endsWith(".o_proj") && adapted.has(path.slice(0, -".o_proj".length));
          return twice && spec.bias ? add(y, inner.parameter(`${path}.bias`, [spec.outFeatures], path)) : y;
        },
      });
    },
    merging: { possible: false, reason: "a second attention over a prompt is no change of the base's weights" },
    layout: { weightsFile: "adapter_model.safetensors", config: (name) => writeAdaptionPromptConfig(config, name, attention) },
  };
}

/** g·softmax(q·(W_k·P)ᵀ/√D)·(W_v·P): → [B*T, H*D]. Query heads of a group stand as rows beside each other, as in `attention`. */
function promptTerm({ query, keyValueOf }: AttentionInputs, prompt: Tensor, gate: Tensor): Tensor {
  const [B, T, H, D] = query.shape as [Dim, Dim, number, number];
  const { key, value } = keyValueOf(prompt); // [M, K, D]
  const K = numeric(key.shape[1], "the number of key/value heads");
  const G = H / K;
  const q = reshape(transpose(reshape(scale(query, 1 / Math.sqrt(D)), [B, T, K, G, D]), [2, 0, 1, 3, 4]), [K, product([B, T, G]), D]);
  const heads = (x: Tensor): Tensor => transpose(x, [1, 0, 2]); // [K, M, D]
  const mixed = matmul(mul(softmax(matmul(q, heads(key), { transposeB: true })), gate), heads(value)); // [K, B*T*G, D]
  return reshape(transpose(reshape(mixed, [K, B, T, G, D]), [1, 2, 0, 3, 4]), [product([B, T]), H * D]);
}

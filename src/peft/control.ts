/**
 * A control branch: ControlNet (Zhang, Rao & Agrawala 2023, arXiv 2302.05543) carried over to language models.
 *
 * The base F₁ … F_L is locked. Trainable copies F'₁ … F'_N of its first N blocks read a control text u before the text x; behind
 * each copy, its rows at the text's places enter the base through a projection that starts at zero:
 *
 *   c₀ = embed([u ; x]),       cᵢ = F'ᵢ(cᵢ₋₁)                  [B, U+T, C], F'ᵢ = Fᵢ at the start
 *   h₀ = embed(x),             hᵢ = Fᵢ(hᵢ₋₁) + s·(Zᵢ·cᵢ[x] + bᵢ)  for i ≤ N, hᵢ = Fᵢ(hᵢ₋₁) behind them
 *
 * Zᵢ [C, C] and bᵢ [C] start at zero and s is the strength, so the first step and s = 0 are the base to the bit. Zᵢ's own
 * gradient is (∂L/∂hᵢ)ᵀ·cᵢ, which is not zero; the copies learn from the second step on (section 3.1 of the paper).
 */
import { GiantError, invariant } from "../base/errors.ts";
import { add, matmul, mul, reshape, slice } from "../core/operations.ts";
import { product } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { extendContext, type ModelContext, plainContext } from "../nn/context.ts";
import type { BaseModel, DecoderInputs } from "../nn/decoder.ts";
import type { Inventory } from "../nn/inventory.ts";
import { type ControlConfig, writeControlConfig } from "./control-config.ts";
import type { AdaptationMethod, AdapterTensor } from "./method.ts";

const zeroWeight = (i: number): string => `control.zero.${i}.weight`;
const zeroBias = (i: number): string => `control.zero.${i}.bias`;

/** The copy of a parameter of the block `path`, the base's i-th. */
const copyOf = (i: number, path: string, parameter: string): string => `control.blocks.${i}.${parameter.slice(path.length + 1)}`;

/**
 * A control branch beside the first blocks of a base.
 * @throws GiantError("adapter") when the base has fewer blocks than are to be copied.
 */
export function control(config: ControlConfig, base: BaseModel, inventory: Inventory): AdaptationMethod {
  const { numBlocks } = config;
  const { hiddenSize: C, numHiddenLayers: L } = base;
  if (numBlocks > L) {
    throw new GiantError("adapter", `a control branch of ${numBlocks} blocks needs as many in the base, which has ${L}`, { hint: `Copy at most ${L} blocks.` });
  }
  const tensors = new Map<string, AdapterTensor>();
  base.decoder.blocks.slice(0, numBlocks).forEach(({ path }, i) => {
    for (const [parameter, shape] of inventory.parameters) {
      if (parameter.startsWith(`${path}.`)) tensors.set(copyOf(i, path, parameter), { shape, initial: { kind: "base", parameter }, trained: true });
    }
    tensors.set(zeroWeight(i), { shape: [C, C], initial: { kind: "zeros" }, trained: true });
    tensors.set(zeroBias(i), { shape: [C], initial: { kind: "zeros" }, trained: true });
  });
  return {
    name: "control",
    tensors,
    replacement: () => undefined,
    context: (context, tensor, { inputs }) => controlContext(context, base, numBlocks, tensor, inputs),
    merging: { possible: false, reason: "what it adds depends on a control text that the base does not read" },
    layout: { weightsFile: "adapter_model.safetensors", config: (name) => writeControlConfig(config, name) },
    controlLength: config.controlLength,
  };
}

function controlContext(
  base: ModelContext,
  { decoder, hiddenSize: C }: BaseModel,
  numBlocks: number,
  tensor: (name: string) => Tensor,
  text: DecoderInputs,
): ModelContext {
  invariant(text.controlled !== undefined, "a control branch needs the inputs of a controlled stream");
  const { inputs, controlLength, strength } = text.controlled();
  const copied = decoder.blocks.slice(0, numBlocks);
  /** The branch so far, [B*(U+T), C]; the embeddings are the base's own. */
  let stream: Tensor | undefined;
  return extendContext(base, {
    block(path, h, compute) {
      const output = base.block(path, h, compute);
      const i = copied.findIndex((block) => block.path === path);
      if (i < 0) return output;
      const copy = plainContext({ leaf: (name) => tensor(copyOf(i, path, name)) });
      // The base's context decides whether a block is recomputed.
      stream = base.block(path, stream ?? decoder.embed(base, inputs), (c) => copied[i]!.compute(copy, inputs, c));
      const rows = slice(reshape(stream, ["B", inputs.length, C]), 1, controlLength, text.length); // [B, T, C]
      const projected = matmul(reshape(rows, [product(["B", text.length]), C]), tensor(zeroWeight(i)), { transposeB: true });
      return add(output, mul(add(projected, tensor(zeroBias(i))), strength));
    },
  });
}

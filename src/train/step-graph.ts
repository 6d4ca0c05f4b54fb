/** The graphs of one training step: loss with gradients, loss alone, and the update. */
import { add, div, gather, input, lessOrEqual, mul, scalar, scale, sqrt, sub, sumAll, where } from "../core/operations.ts";
import { gradient } from "../core/gradient.ts";
import { product } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { type Architecture, decoderInputs, lengthOf } from "../models/architecture.ts";
import { forward } from "../nn/decoder.ts";
import { dropoutFrom } from "../nn/dropout.ts";
import { QUERY_BLOCKS } from "../nn/mask.ts";
import { headCrossEntropy, headParts } from "../nn/loss.ts";
import { adapt } from "../peft/adapt.ts";
import type { AdaptationMethod } from "../peft/method.ts";

export interface LossGraph {
  /** Summed loss over the labelled positions, in nats, rank 0. */
  readonly lossSum: Tensor;
  /** The method's tensors as graph inputs, by name. */
  readonly leaves: ReadonlyMap<string, Tensor>;
}

export interface LossGraphOptions {
  readonly recompute?: boolean;
  readonly dropout?: boolean;
  /** Computes the frozen linear layers of the blocks in int8; the head stays exact, see docs/methods.md. */
  readonly fast?: boolean;
  /** Blocks that the queries of each row are cut into; rows are padded to a multiple of it. */
  readonly queryBlocks?: number;
  /** Outputs of the head that are computed at once, in place of what suits its size. */
  readonly headRows?: number;
}

/**
 * The loss of a model under a method. Inputs: those of `decoderInputs`, `labelRows` and `labelIds` [N], the method's
 * tensors, and `dropout.rows` when something is dropped. Only labelled rows reach the head.
 */
export function lossGraph(architecture: Architecture, method: AdaptationMethod | undefined, options: LossGraphOptions = {}): LossGraph {
  const { queryBlocks = QUERY_BLOCKS } = options;
  const labelRows = input("labelRows", "int32", ["N"]);
  const inputs = decoderInputs(architecture, queryBlocks);
  const { context, leaves } = adapt(method, {
    inputs,
    recompute: options.recompute ?? false,
    ...(options.fast && { quantized: (_, module) => module !== architecture.head.path }),
    ...(options.dropout && { dropout: dropoutFrom(product(["B", lengthOf(queryBlocks)]), labelRows) }),
  });
  const hidden = forward(architecture.decoder, context, inputs);
  const rows = gather(hidden, labelRows);
  const { head } = architecture;
  // The gradient of a head that is trained whole is one matrix: parts of it would only have to be put together again.
  const trained = method?.replacement(head.spec.tiedTo ?? `${head.path}.weight`, head.path) !== undefined;
  const loss = headCrossEntropy(context, head, rows, input("labelIds", "int32", ["N"]), {
    parts: headParts(head.spec, trained ? head.spec.outFeatures : options.headRows),
    recompute: options.recompute ?? false,
  });
  return { lossSum: sumAll(loss), leaves };
}

/** Name of the output that holds a tensor's gradient. */
export const gradientOf = (name: string): string => `gradient.${name}`;

/** Outputs `lossSum` and, per trained tensor, the gradient of `scale` · lossSum; `scale` is an input of rank 0. */
export function stepGraph(architecture: Architecture, method: AdaptationMethod, options: LossGraphOptions): Record<string, Tensor> {
  const { lossSum, leaves } = lossGraph(architecture, method, options);
  const trained = [...leaves].filter(([name]) => method.tensors.get(name)!.trained);
  const gradients = gradient(
    mul(lossSum, input("scale", "float32", [])),
    trained.map(([, leaf]) => leaf),
  );
  return { lossSum, ...Object.fromEntries(trained.map(([name], i) => [gradientOf(name), gradients[i]!])) };
}

export interface AdamW {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
}

/** PyTorch's defaults, without weight decay. */
export const ADAMW: AdamW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };

export interface TrainedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Whether weight decay applies to it. */
  readonly decays: boolean;
}

/** Names of a tensor's moments among the update's inputs and outputs. */
export const momentsOf = (name: string): readonly [first: string, second: string] => [`first.${name}`, `second.${name}`];

/**
 * Clipping by global norm, and AdamW (Loshchilov & Hutter 2017, arXiv 1711.05101) as torch.optim.AdamW computes it:
 *
 *   g ← g·min(1, maxGradNorm / (‖g‖ + 1e-6))
 *   m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²
 *   p ← p·(1 − ηλ) − η/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
 *
 * Inputs: each tensor, its gradient and moments; `decay` = 1 − ηλ, `stepSize` = η/(1 − β₁ᵗ), `rootCorrection` = √(1 − β₂ᵗ).
 * Outputs: `norm` (before clipping), and each tensor and moment under `next.<name>`.
 */
export function updateGraph(tensors: readonly TrainedTensor[], { beta1, beta2, epsilon }: AdamW, maxGradNorm: number): Record<string, Tensor> {
  const number = (name: string): Tensor => input(name, "float32", []);
  const [decay, stepSize, rootCorrection] = [number("decay"), number("stepSize"), number("rootCorrection")];
  const gradients = tensors.map(({ name, shape }) => input(gradientOf(name), "float32", shape));
  const norm = sqrt(gradients.map((g) => sumAll(mul(g, g))).reduce(add));
  const clip = maxGradNorm > 0 ? atMostOne(div(scalar(maxGradNorm), add(norm, scalar(1e-6)))) : undefined;
  const outputs: Record<string, Tensor> = { norm };
  tensors.forEach(({ name, shape, decays }, i) => {
    const [firstName, secondName] = momentsOf(name);
    const [p, m, v] = [name, firstName, secondName].map((each) => input(each, "float32", shape)) as [Tensor, Tensor, Tensor];
    const g = clip === undefined ? gradients[i]! : mul(gradients[i]!, clip);
    const first = add(scale(m, beta1), scale(g, 1 - beta1));
    const second = add(scale(v, beta2), scale(mul(g, g), 1 - beta2));
    const step = mul(stepSize, div(first, add(div(sqrt(second), rootCorrection), scalar(epsilon))));
    outputs[`next.${name}`] = sub(decays ? mul(p, decay) : p, step);
    outputs[`next.${firstName}`] = first;
    outputs[`next.${secondName}`] = second;
  });
  return outputs;
}

const atMostOne = (x: Tensor): Tensor => where(lessOrEqual(x, scalar(1)), x, scalar(1));

/** Adds gradients of one micro-batch to the sum of earlier ones: `sum.<name>` + `gradient.<name>` → `next.<name>`. */
export function accumulationGraph(tensors: readonly TrainedTensor[]): Record<string, Tensor> {
  return Object.fromEntries(
    tensors.map(({ name, shape }) => [`next.${name}`, add(input(`sum.${name}`, "float32", shape), input(gradientOf(name), "float32", shape))]),
  );
}

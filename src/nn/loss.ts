/** Cross-entropy over the vocabulary, with as few passes over the logits as the mathematics allows, and heads in parts. */
import { checkpointsInTurn } from "../core/gradient.ts";
import { concat, logSumExp, sub } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";
import type { LinearSpec, ModelContext } from "./context.ts";

/**
 * −log p(label) per row, [N, 1]: log Σ exp(logits) − logit of the label.
 * The label's logit comes as its own small product, not as a look-up in `logits`: its gradient is then a row of the head's
 * weights, and the gradient of the logits stays the bare softmax, without a one-hot pass over [N, V].
 */
export function crossEntropy(logits: Tensor, labelLogits: Tensor): Tensor {
  return sub(logSumExp(logits), labelLogits);
}

/** A head whose float32 weights are larger than this, in bytes, is computed in parts of at most half as much. */
const LARGEST_WHOLE_HEAD = 2 ** 28;

/** A base's output layer. */
export interface Head {
  readonly path: string;
  readonly spec: LinearSpec;
}

/** Some of a head's outputs. */
export interface HeadPart {
  readonly start: number;
  readonly length: number;
}

/**
 * The parts of a head: one for most vocabularies. A table of 128 thousand rows would otherwise be widened whole at each use
 * (1 GB for 2048 columns), and have logits of the same number beside it.
 * @param rows outputs of a part, in place of what suits the table's size.
 */
export function headParts({ inFeatures, outFeatures }: LinearSpec, rows?: number): HeadPart[] {
  const bytes = Float32Array.BYTES_PER_ELEMENT * inFeatures;
  const usual = outFeatures * bytes <= LARGEST_WHOLE_HEAD ? outFeatures : Math.ceil(outFeatures / Math.ceil((outFeatures * bytes) / (LARGEST_WHOLE_HEAD / 2)));
  const most = rows ?? usual;
  return Array.from({ length: Math.ceil(outFeatures / most) }, (_, i) => ({ start: i * most, length: Math.min(most, outFeatures - i * most) }));
}

/** How a head's loss is computed. */
export interface HeadLossOptions {
  /** One part: the whole head. */
  readonly parts: readonly HeadPart[];
  /** Whether the gradient computes the logits of each part anew. */
  readonly recompute: boolean;
}

/**
 * Cross-entropy of a head's logits, x [N, C], labels [N] → [N, 1]. In parts P of the vocabulary
 *
 *   log Σ_v exp z_v = log Σ_P exp(log Σ_{v∈P} exp z_v)
 *
 * and with `recompute` the gradient goes through one part after the other, so that only one part's weights and logits are in
 * memory at a time.
 */
export function headCrossEntropy(context: ModelContext, { path, spec }: Head, x: Tensor, labels: Tensor, { parts, recompute }: HeadLossOptions): Tensor {
  const labelLogits = context.linearAt(path, x, labels, spec);
  const { linearRange } = context;
  if (parts.length === 1 || linearRange === undefined) return crossEntropy(context.linear(path, x, spec), labelLogits);
  const computes = parts.map(
    ({ start, length }) =>
      (rows: Tensor): Tensor =>
        logSumExp(linearRange(path, rows, spec, start, length)),
  );
  return crossEntropy(concat(recompute ? checkpointsInTurn(computes, [x]) : computes.map((compute) => compute(x)), 1), labelLogits);
}

/** A head's logits, [N, C] → [N, V]; of a large table one part after the other. */
export function headLogits(context: ModelContext, { path, spec }: Head, x: Tensor): Tensor {
  const { linearRange } = context;
  const parts = headParts(spec);
  if (parts.length === 1 || linearRange === undefined) return context.linear(path, x, spec);
  return concat(
    parts.map(({ start, length }) => linearRange(path, x, spec, start, length)),
    1,
  );
}

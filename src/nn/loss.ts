/** Cross-entropy over the vocabulary, with as few passes over the logits as the mathematics allows. */
import { logSumExp, sub } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";

/**
 * −log p(label) per row, [N, 1]: log Σ exp(logits) − logit of the label.
 * The label's logit comes as its own small product, not as a look-up in `logits`: its gradient is then a row of the head's
 * weights, and the gradient of the logits stays the bare softmax, without a one-hot pass over [N, V].
 */
export function crossEntropy(logits: Tensor, labelLogits: Tensor): Tensor {
  return sub(logSumExp(logits), labelLogits);
}

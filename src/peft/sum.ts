/**
 * A weighted sum of adapters on one base, each an adapter of a method whose effect is a sum of terms:
 *
 *   y = W·x + Σ w_i·s_i·B_i·(A_i·x)
 *
 * Ranks, scales and targets may differ from part to part. This is what PEFT's `add_weighted_adapter` computes with
 * `combination_type="cat"`; its "linear" multiplies sums of A by sums of B, which is another function. The weights are
 * inputs of the graph, so another weight needs no other graph.
 */
import { GiantError } from "../base/errors.ts";
import { add } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";
import type { AdaptationMethod, AdapterTensor, Summing, Update } from "./method.ts";

/** Name of a part's tensor in the sum. */
export const partTensor = (part: number, name: string): string => `${part}/${name}`;

/** Name of a part's weight, a scalar. */
export const partWeight = (part: number): string => partTensor(part, "weight");

/** A part of a sum; `name` is what messages call it. */
export interface Summand {
  readonly name: string;
  readonly method: AdaptationMethod;
}

/**
 * How an adapter takes part in a sum.
 * @throws GiantError("adapter") for a method or a configuration whose effect is no sum of terms.
 */
export function summingOf({ name, method }: Summand): Extract<Summing, { possible: true }> {
  const summing: Summing = method.summing ?? { possible: false, reason: `${method.name} is no term beside a product` };
  if (summing.possible) return summing;
  throw new GiantError("adapter", `${name} cannot be weighted or summed with others: ${summing.reason}`, {
    hint: "Use it alone, with weight 1.",
    facts: { name, method: method.name },
  });
}

/** The sum of adapters as a method; its tensors are those of the parts, and a weight for each. */
export function sumOf(parts: readonly Summand[]): AdaptationMethod {
  const summings = parts.map(summingOf);
  const tensors = new Map<string, AdapterTensor>();
  for (const [i, { method }] of parts.entries()) {
    for (const [name, described] of method.tensors) tensors.set(partTensor(i, name), { ...described, trained: false });
    tensors.set(partWeight(i), { shape: [], initial: { kind: "zeros" }, trained: false });
  }
  return {
    name: "sum",
    tensors,
    replacement: () => undefined,
    context: (base, tensor) =>
      summings.reduce((context, summing, i) => summing.context(context, (name) => tensor(partTensor(i, name)), tensor(partWeight(i))), base),
    merging: {
      possible: true,
      parameters: (parameter, tensor) => {
        const merged = new Map<string, Tensor>();
        for (const [i, summing] of summings.entries()) {
          const updates: ReadonlyMap<string, Update> = summing.updates((name) => tensor(partTensor(i, name)), tensor(partWeight(i)));
          for (const [name, { base, update }] of updates) merged.set(name, add(merged.get(name) ?? parameter(base), update));
        }
        return merged;
      },
    },
  };
}

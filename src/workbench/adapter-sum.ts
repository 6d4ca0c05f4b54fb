/** Weighted sums of adapters in memory: beside the base, or as one LoRA adapter that others can read. */
import { type HostTensor, floats } from "../core/dtype.ts";
import { concatenationOf } from "../peft/concatenation.ts";
import { lora } from "../peft/lora.ts";
import { partTensor, partWeight, sumOf } from "../peft/sum.ts";
import type { LoadedAdapter } from "./adapter.ts";
import type { OpenModel } from "./open-model.ts";

export interface WeightedAdapter {
  /** What messages call it. */
  readonly name: string;
  readonly adapter: LoadedAdapter;
  readonly weight: number;
}

const summandsOf = (parts: readonly WeightedAdapter[]): { name: string; method: LoadedAdapter["method"] }[] =>
  parts.map(({ name, adapter: { method } }) => ({ name, method }));

/** A scalar tensor. */
export const weightTensor = (weight: number): HostTensor => floats([], Float32Array.of(weight));

/**
 * The sum with the tensors of its parts.
 * @throws GiantError("adapter") for a part that cannot be summed.
 */
export function sumAdapters(parts: readonly WeightedAdapter[]): LoadedAdapter {
  const tensors = new Map<string, HostTensor>();
  for (const [i, { adapter, weight }] of parts.entries()) {
    for (const [name, tensor] of adapter.tensors) tensors.set(partTensor(i, name), tensor);
    tensors.set(partWeight(i), weightTensor(weight));
  }
  return { method: sumOf(summandsOf(parts)), tensors };
}

/**
 * The sum as one LoRA adapter, whose rank is the sum of the ranks; weights and scales are multiplied into A.
 * @throws GiantError("adapter") for a part that cannot be summed, or a rank that is larger than a layer's matrix.
 */
export async function concatenateAdapters(parts: readonly WeightedAdapter[], model: OpenModel): Promise<LoadedAdapter> {
  const { config, terms } = concatenationOf(summandsOf(parts), model.inventory);
  const method = lora(config, model.inventory, model.architecture.head);
  const tensors = new Map<string, HostTensor>();
  for (const joined of terms.values()) {
    const valuesOf = (part: number, name: string): Float32Array => parts[part]!.adapter.tensors.get(name)!.data as Float32Array;
    const rank = joined.reduce((sum, term) => sum + term.rank, 0);
    const { A: nameOfA, B: nameOfB } = joined[0]!;
    const [A, B] = [nameOfA, nameOfB].map((name) => floats(method.tensors.get(name)!.shape, new Float32Array(size(method.tensors.get(name)!.shape))));
    let first = 0; // the first of the columns of B that a part has
    for (const term of joined) {
      const factor = parts[term.part]!.weight * term.scaling;
      const [a, b] = [valuesOf(term.part, term.A), valuesOf(term.part, term.B)];
      const inFeatures = a.length / term.rank;
      (A!.data as Float32Array).set(
        a.map((value) => value * factor),
        first * inFeatures,
      );
      for (let row = 0; row * term.rank < b.length; row++) {
        (B!.data as Float32Array).set(b.subarray(row * term.rank, (row + 1) * term.rank), row * rank + first);
      }
      first += term.rank;
    }
    tensors.set(nameOfA, A!).set(nameOfB, B!);
  }
  // PEFT's files carry an adapted embedding itself too.
  for (const [name, { shape, initial }] of method.tensors) {
    if (initial.kind === "base") tensors.set(name, floats(shape, await model.read(initial.parameter)));
  }
  return { method, tensors };
}

function size(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Full fine-tuning: every parameter of the base is trained; the result is a model of its own. */
import type { Tensor } from "../core/tensor.ts";
import type { Inventory } from "../nn/inventory.ts";
import type { AdaptationMethod, AdapterTensor } from "./method.ts";

/** The method whose tensors are the base's parameters, under the base's names. */
export function full(inventory: Inventory): AdaptationMethod {
  const tensors = new Map<string, AdapterTensor>(
    [...inventory.parameters].map(([name, shape]) => [name, { shape, initial: { kind: "base", parameter: name }, trained: true }]),
  );
  return {
    name: "full",
    tensors,
    replacement: (parameter) => parameter,
    context: (base) => base,
    merging: { possible: true, whole: true, parameters: (_, tensor) => new Map<string, Tensor>([...tensors.keys()].map((name) => [name, tensor(name)])) },
  };
}

/** Adapters in which nothing is zero. */
import { Random } from "../src/base/random.ts";
import { floats, type HostTensor } from "../src/core/dtype.ts";
import type { LoadedAdapter } from "../src/workbench/adapter.ts";

/** The adapter with noise on every trained tensor, so that nothing in it is zero. */
export function stirred({ method, tensors }: LoadedAdapter, seed: number): LoadedAdapter {
  const stir = ({ shape, data }: HostTensor, name: string): HostTensor => {
    const random = Random.named(seed, name);
    return floats(
      shape,
      (data as Float32Array).map((value) => value + 0.05 * random.normal()),
    );
  };
  return { method, tensors: new Map([...tensors].map(([name, tensor]) => [name, method.tensors.get(name)!.trained ? stir(tensor, name) : tensor])) };
}

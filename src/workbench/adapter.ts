/** An adapter in memory: its method bound to a base, and its tensors. */
import { Random } from "../base/random.ts";
import { type HostTensor, floats } from "../core/dtype.ts";
import type { AdaptationMethod, AdapterTensor } from "../peft/method.ts";
import type { OpenModel } from "./open-model.ts";

export interface LoadedAdapter {
  readonly method: AdaptationMethod;
  /** Tensors by the names of `method.tensors`. */
  readonly tensors: ReadonlyMap<string, HostTensor>;
}

/** A fresh adapter: every tensor as its method starts it; chance depends on `seed` and the tensor's name only. */
export async function newAdapter(method: AdaptationMethod, model: OpenModel, seed: number): Promise<LoadedAdapter> {
  const tensors = new Map<string, HostTensor>();
  for (const [name, described] of method.tensors) tensors.set(name, floats(described.shape, await initialValues(described, name, model, seed)));
  return { method, tensors };
}

async function initialValues({ shape, initial }: AdapterTensor, name: string, model: OpenModel, seed: number): Promise<Float32Array> {
  const size = shape.reduce((a, b) => a * b, 1);
  const random = Random.named(seed, name);
  switch (initial.kind) {
    case "zeros":
      return new Float32Array(size);
    case "ones":
      return new Float32Array(size).fill(1);
    case "uniform":
      return Float32Array.from({ length: size }, () => (2 * random.uniform() - 1) * initial.bound);
    case "normal":
      return Float32Array.from({ length: size }, () => random.normal() * initial.deviation);
    case "truncatedNormal":
      return Float32Array.from({ length: size }, () => nearNormal(random) * initial.deviation);
    case "base":
      return model.read(initial.parameter);
    case "rows":
    case "randomRows": {
      const table = await model.read(initial.parameter);
      const [count = 0, width = 1] = shape;
      const rows = initial.kind === "rows" ? initial.rows : Array.from({ length: count }, () => random.integer(table.length / width));
      return Float32Array.from({ length: size }, (_, i) => table[rows[Math.floor(i / width)]! * width + (i % width)]!);
    }
    case "outputNorms": {
      const weight = await model.read(initial.parameter);
      const inputs = weight.length / size;
      const [toOutput, toInput] = initial.transposed ? [1, size] : [inputs, 1];
      return Float32Array.from({ length: size }, (_, o) => {
        let squares = 0;
        for (let i = 0; i < inputs; i++) squares += weight[o * toOutput + i * toInput]! ** 2;
        return Math.sqrt(squares);
      });
    }
  }
}

/** A standard normal number within two deviations. */
function nearNormal(random: Random): number {
  let value: number;
  do value = random.normal();
  while (Math.abs(value) > 2);
  return value;
}

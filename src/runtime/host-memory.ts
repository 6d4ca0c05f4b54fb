/** Runs programs whose resident tensors lie in this process's memory (CPU; CUDA copies them at each run). */
import type { InferenceSession, Tensor } from "onnxruntime-node";
import { GiantError } from "../base/errors.ts";
import type { Dtype, HostTensor } from "../core/dtype.ts";
import type { ProgramOptions } from "./engine.ts";
import type { Port, WireFeed, WireFetch, WireResident, WireResult } from "./protocol.ts";
import { resolveDims } from "./dims.ts";
import { describe, fromOrt, Residents, toOrt } from "./residents.ts";
import type { OpenProgram, TensorHome } from "./tensor-home.ts";
import { END_OF_RUN, isEndOfRun, withEndOfRun } from "./write-in-place.ts";

export type SessionOpener = (model: Uint8Array, options: ProgramOptions, onDevice: boolean) => Promise<InferenceSession>;

export class HostMemory implements TensorHome {
  readonly #open: SessionOpener;
  readonly #residents: Residents = new Residents();

  constructor(open: SessionOpener) {
    this.#open = open;
  }

  async open(model: Uint8Array, options: ProgramOptions): Promise<InferenceSession> {
    return this.#open(withEndOfRun(model), options, false);
  }

  async upload(tensor: HostTensor): Promise<WireResident> {
    return this.#residents.keep(toOrt(tensor));
  }

  async download(id: number): Promise<HostTensor> {
    const tensor = this.#residents.get(id);
    return fromOrt(tensor, tensor.data.slice() as HostTensor["data"]);
  }

  async release(ids: readonly number[]): Promise<void> {
    for (const id of ids) this.#residents.forget(id);
  }

  async run({ session, inputs, outputs }: OpenProgram, feeds: readonly WireFeed[], fetches: readonly WireFetch[]): Promise<WireResult[]> {
    const { tensors, symbols } = this.#residents.fed(inputs, feeds);
    const wanted = outputs.map((port, i) => this.#destination(port, fetches[i]!, symbols));
    const fetched = await runInPlace(session, tensors, outputs, fetches, wanted);
    return fetches.map((fetch, i) => {
      if (fetch === null) return null;
      const tensor = fetched[i]!;
      if (fetch === "host") return fromOrt(tensor, tensor.data as HostTensor["data"]);
      return fetch === "resident" ? this.#residents.keep(tensor) : describe(fetch, tensor);
    });
  }

  /** Memory for an output; undefined when its shape is known only after the run. */
  #destination(port: Port, fetch: WireFetch, symbols: ReadonlyMap<string, number>): Tensor | undefined {
    const shape = resolveDims(port, symbols);
    if (typeof fetch === "number") {
      const tensor = this.#residents.get(fetch);
      const fits = tensor.type === port.dtype && (shape === undefined || sameShape(shape, tensor.dims));
      if (fits) return tensor;
      throw new GiantError(
        "internal",
        `output ${port.name}: ${port.dtype} [${(shape ?? port.dims).join(", ")}] does not fit the resident ${tensor.type} [${tensor.dims.join(", ")}]`,
      );
    }
    if (fetch === null || shape === undefined) return undefined;
    return toOrt({ dtype: port.dtype, shape, data: allocate(port.dtype, shape) });
  }
}

/** The outputs in order; those in `wanted` are written there, the others come in new memory. */
async function runInPlace(
  session: InferenceSession,
  feeds: Record<string, Tensor>,
  outputs: readonly Port[],
  fetches: readonly WireFetch[],
  wanted: readonly (Tensor | undefined)[],
): Promise<(Tensor | undefined)[]> {
  const into: Record<string, Tensor | null> = {};
  let allKnown = true;
  for (const [i, port] of outputs.entries()) {
    if (fetches[i] === null) continue;
    into[port.name] = wanted[i] ?? null;
    allKnown &&= wanted[i] !== undefined;
  }
  if (allKnown) into[END_OF_RUN] = null;
  try {
    const results = await session.run(feeds, into);
    return outputs.map((port, i) => wanted[i] ?? (fetches[i] === null ? undefined : (results[port.name] as Tensor)));
  } catch (error) {
    if (allKnown && isEndOfRun(error)) return [...wanted];
    throw error;
  }
}

function allocate(dtype: Dtype, shape: readonly number[]): HostTensor["data"] {
  const size = shape.reduce((a, b) => a * b, 1);
  switch (dtype) {
    case "float32":
      return new Float32Array(size);
    case "int32":
      return new Int32Array(size);
    case "bool":
      return new Uint8Array(size);
    case "int8":
      return new Int8Array(size);
  }
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

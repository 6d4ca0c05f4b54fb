/** Runs programs whose resident tensors lie in WebGPU buffers. */
import type { InferenceSession, Tensor } from "onnxruntime-node";
import { GiantError } from "../base/errors.ts";
import type { Dtype, HostTensor } from "../core/dtype.ts";
import type { ProgramOptions } from "./engine.ts";
import type { SessionOpener } from "./host-memory.ts";
import { copyGraph } from "./probe-graphs.ts";
import type { WireFeed, WireFetch, WireResident, WireResult } from "./protocol.ts";
import { fromOrt, Residents, toOrt } from "./residents.ts";
import type { OpenProgram, TensorHome } from "./tensor-home.ts";

type Direction = "up" | "down";

/**
 * Every program leaves all its outputs on the device; those wanted on the host go through a session that copies
 * (the binding aborts the process when such a tensor is read directly).
 * An output over an existing resident takes its place: WebGPU forbids one buffer as input and output of one dispatch,
 * so both exist for a moment.
 */
export class GpuMemory implements TensorHome {
  readonly #open: SessionOpener;
  readonly #residents: Residents = new Residents();
  readonly #copiers: Map<string, InferenceSession> = new Map();

  constructor(open: SessionOpener) {
    this.#open = open;
  }

  async open(model: Uint8Array, options: ProgramOptions): Promise<InferenceSession> {
    return this.#open(model, options, true);
  }

  async upload(tensor: HostTensor): Promise<WireResident> {
    return this.#residents.keep(await this.#copy("up", toOrt(tensor)));
  }

  async download(id: number): Promise<HostTensor> {
    return this.#toHost(this.#residents.get(id));
  }

  async release(ids: readonly number[]): Promise<void> {
    for (const id of ids) {
      this.#residents.forget(id)?.dispose();
    }
  }

  async run({ session, inputs, outputs }: OpenProgram, feeds: readonly WireFeed[], fetches: readonly WireFetch[]): Promise<WireResult[]> {
    const { tensors } = this.#residents.fed(inputs, feeds);
    // The binding keeps outputs bound from run to run, so all of them are asked for each time.
    const results = await session.run(tensors);
    const answers: WireResult[] = [];
    for (const [i, port] of outputs.entries()) {
      const fetch = fetches[i]!;
      const tensor = results[port.name] as Tensor;
      if (fetch === null || fetch === "host") {
        answers.push(fetch === null ? null : await this.#toHost(tensor));
        tensor.dispose();
      } else if (fetch === "resident") {
        answers.push(this.#residents.keep(tensor));
      } else {
        answers.push(this.#replace(fetch, tensor, port.name));
      }
    }
    return answers;
  }

  #replace(id: number, tensor: Tensor, name: string): WireResident {
    const old = this.#residents.get(id);
    const found = `${tensor.type} [${tensor.dims.join(", ")}]`;
    const needed = `${old.type} [${old.dims.join(", ")}]`;
    if (found !== needed) throw new GiantError("internal", `output ${name}: ${found} does not fit the resident ${needed}`);
    old.dispose();
    return this.#residents.replace(id, tensor);
  }

  async #toHost(tensor: Tensor): Promise<HostTensor> {
    // An output of an operator that ran on the CPU may already be there.
    const copy = tensor.location === "cpu" ? tensor : await this.#copy("down", tensor);
    return fromOrt(copy, copy.data as HostTensor["data"]);
  }

  async #copy(direction: Direction, tensor: Tensor): Promise<Tensor> {
    const key = `${direction} ${tensor.type} ${tensor.dims.length}`;
    let session = this.#copiers.get(key);
    if (session === undefined) {
      session = await this.#open(copyGraph(tensor.type as Dtype, tensor.dims.length), {}, direction === "up");
      this.#copiers.set(key, session);
    }
    return (await session.run({ x: tensor }))["y"] as Tensor;
  }
}

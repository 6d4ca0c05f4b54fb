/** Where resident tensors live, and how a program runs over them: one implementation per kind of memory. */
import type { InferenceSession } from "onnxruntime-node";
import type { HostTensor } from "../core/dtype.ts";
import type { ProgramOptions } from "./engine.ts";
import type { Port, WireFeed, WireFetch, WireResident, WireResult } from "./protocol.ts";

export interface OpenProgram {
  readonly session: InferenceSession;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Whether a profile is to be written when it is closed. */
  readonly profiled: boolean;
}

export interface TensorHome {
  open(model: Uint8Array, options: ProgramOptions): Promise<InferenceSession>;
  upload(tensor: HostTensor): Promise<WireResident>;
  download(id: number): Promise<HostTensor>;
  release(ids: readonly number[]): Promise<void>;
  /** Feeds in the order of the inputs, fetches and results in the order of the outputs. */
  run(program: OpenProgram, feeds: readonly WireFeed[], fetches: readonly WireFetch[]): Promise<WireResult[]>;
}

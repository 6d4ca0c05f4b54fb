/** Runs ONNX graphs in a worker thread: the only door to ONNX Runtime. */
import type { HostTensor } from "../core/dtype.ts";

export type DeviceName = "cpu" | "webgpu" | "cuda";

export interface EngineOptions {
  /** `auto` takes the best device that is really there. */
  readonly device: "auto" | DeviceName;
  /** Threads inside one operator; default: the number of physical cores this process may use. */
  readonly threads?: number;
}

export interface ProgramOptions {
  /** Folder that the graph's external data (weights) lies in; file locations in the graph are relative to it. */
  readonly weightsFolder?: string;
  /** ONNX Runtime session configuration entries, e.g. `{ "session.disable_prepacking": "1" }`. */
  readonly sessionConfig?: Readonly<Record<string, string>>;
  /** Writes ONNX Runtime's profile to a file with this prefix. */
  readonly profilePrefix?: string;
}

/** A tensor that stays on the device between runs. */
export interface Resident {
  readonly id: number;
}

/**
 * Where an output goes: back to the host, into a new resident tensor, or over an existing one of the same shape.
 *
 * The existing one may be fed in the same run if its old value is read only elementwise and only on the way to that
 * output (`p' = p − …`): ONNX Runtime orders other readers as it likes, and they may see the new value.
 * On the CPU the output is written into the tensor's own memory; on WebGPU it takes the tensor's place.
 */
export type Fetch = "host" | "resident" | Resident;

export interface Program {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, HostTensor | Resident>>, fetches: Readonly<Record<string, Fetch>>): Promise<Record<string, HostTensor | Resident>>;
  close(): Promise<void>;
}

export interface Engine {
  readonly device: DeviceName;
  readonly threads: number;
  open(model: Uint8Array, options?: ProgramOptions): Promise<Program>;
  upload(tensor: HostTensor): Promise<Resident>;
  download(tensor: Resident): Promise<HostTensor>;
  release(...tensors: readonly Resident[]): Promise<void>;
  close(): Promise<void>;
}

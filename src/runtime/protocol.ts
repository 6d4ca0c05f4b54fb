/** The messages between an engine in the main thread and its worker, and how errors cross. */
import { GiantError, type GiantErrorCode } from "../base/errors.ts";
import type { Dtype, HostTensor } from "../core/dtype.ts";
import type { DeviceName, ProgramOptions } from "./engine.ts";

/** What an input or output of a program looks like; a string dimension is symbolic, and equal in all places of one run. */
export interface Port {
  readonly name: string;
  readonly dtype: Dtype;
  readonly dims: readonly (number | string)[];
}

/** A fed value: a tensor, or the id of a resident one. In the order of the program's inputs. */
export type WireFeed = HostTensor | number;

/** Where an output goes: not asked for, to the host, to a new resident tensor, or over the resident tensor of that id. */
export type WireFetch = null | "host" | "resident" | number;

/** What comes back for an output: nothing, a tensor, or the resident tensor it became. */
export type WireResult = null | HostTensor | WireResident;

export interface WireResident {
  readonly id: number;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** What the worker can be asked, and what it answers with. */
export interface Calls {
  start: { request: { device: DeviceName; threads: number }; answer: null };
  /** Milliseconds of a chain of matrix products on the started device, after a warm-up. */
  race: { request: object; answer: number };
  open: { request: { model: Uint8Array; options: ProgramOptions }; answer: { program: number; inputs: Port[]; outputs: Port[] } };
  run: { request: { program: number; feeds: WireFeed[]; fetches: WireFetch[] }; answer: WireResult[] };
  shut: { request: { program: number }; answer: null };
  upload: { request: { tensor: HostTensor }; answer: WireResident };
  download: { request: { id: number }; answer: HostTensor };
  release: { request: { ids: number[] }; answer: null };
  close: { request: object; answer: null };
}

export type CallName = keyof Calls;

export type Request = { [K in CallName]: { readonly ticket: number; readonly call: K; readonly request: Calls[K]["request"] } }[CallName];

export type Reply = { readonly ticket: number; readonly answer: Calls[CallName]["answer"] } | { readonly ticket: number; readonly error: WireError };

export interface WireError {
  readonly code: GiantErrorCode;
  readonly message: string;
  readonly hint: string | undefined;
}

/** An error as it crosses from the worker: one line, ONNX Runtime's source positions left out. */
export function toWire(error: unknown, where: string): WireError {
  if (error instanceof GiantError) return { code: error.code, message: error.message, hint: error.hint };
  const message = oneLine(error instanceof Error ? error.message : String(error));
  const [code, hint] = judge(message);
  return { code, message: `${where}: ${message}`, hint };
}

export function fromWire(error: WireError): GiantError {
  return new GiantError(error.code, error.message, error.hint === undefined ? {} : { hint: error.hint });
}

function judge(message: string): [GiantErrorCode, string | undefined] {
  if (/allocat|out of memory|bad_alloc/i.test(message)) {
    return ["memory", "Use a shorter sequence or a smaller batch, turn recomputation on, or close other programs."];
  }
  if (/external (data|initializer)|file_size|mmap|No such file|model_path|external_initializers/i.test(message)) {
    return ["model", "Check that the weight files are complete and readable."];
  }
  if (/webgpu|cuda|adapter|device lost/i.test(message)) return ["device", "Try --device cpu."];
  return ["internal", "This is a bug in mini-giants; please report it."];
}

const LONGEST_MESSAGE = 500; // characters

/** ONNX Runtime's message on one line, without its source positions; a failed node is named by its operator. */
export function oneLine(message: string): string {
  const flat = message.replaceAll(/\s+/g, " ").trim();
  const parts = flat.split(/\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : /);
  const node = /running (\S+) node\. Name:'([^']*)'/.exec(flat);
  const place = node === null ? "" : `${node[1]}${node[2] === "" ? "" : ` ${node[2]}`}: `;
  const detail = parts
    .at(-1)!
    .replace(/^.*?Status Message: /, "")
    .replaceAll(/\S+\.(?:cc|h|cpp):\d+ /g, "");
  const text = place + detail;
  return text.length <= LONGEST_MESSAGE ? text : `${text.slice(0, LONGEST_MESSAGE - 1)}…`;
}

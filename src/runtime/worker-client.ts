/** The main thread's side of an engine: checks what is asked, sends it to the worker, keeps the process responsive. */
import { createRequire } from "node:module";
import { SHARE_ENV, Worker } from "node:worker_threads";
import { GiantError } from "../base/errors.ts";
import type { HostTensor } from "../core/dtype.ts";
import type { DeviceName, Engine, Fetch, Program, ProgramOptions, Resident } from "./engine.ts";
import { fromWire, type CallName, type Calls, type Port, type Reply, type Request, type WireFetch, type WireResident } from "./protocol.ts";
import { forbidTelemetry } from "./telemetry.ts";

interface Pending {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: GiantError) => void;
}

const HANDED_OVER_BYTES = 1 << 16; // above this, handing memory over is cheaper than copying it into the message

export class WorkerEngine implements Engine {
  readonly device: DeviceName;
  readonly threads: number;
  readonly #worker: Worker;
  readonly #pending: Map<number, Pending> = new Map();
  readonly #residents: Map<number, Resident> = new Map();
  readonly #exited: Promise<void>;
  #nextTicket = 1;
  #failure: GiantError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(device: DeviceName, threads: number, worker: Worker) {
    this.device = device;
    this.threads = threads;
    this.#worker = worker;
    worker.unref(); // an idle engine does not keep the process alive
    worker.on("message", (reply: Reply) => this.#settle(reply));
    worker.on("error", (error) => this.#fail(stopped(error instanceof Error ? error.message : String(error))));
    this.#exited = new Promise((resolve) => {
      worker.once("exit", (code) => {
        this.#fail(this.#closing === undefined ? stopped(`exit code ${code}`) : closed());
        resolve();
      });
    });
  }

  /**
   * Starts the worker and the device in it.
   * @param file the worker's program; tests give one that breaks.
   * @throws GiantError("device") when the device is absent or computes wrongly.
   */
  static async start(device: DeviceName, threads: number, file: string = workerFile()): Promise<WorkerEngine> {
    forbidTelemetry();
    const worker = new Worker(file, { env: SHARE_ENV, execArgv: [] });
    const engine = new WorkerEngine(device, threads, worker);
    try {
      await engine.#call("start", { device, threads });
    } catch (error) {
      await engine.close();
      throw error;
    }
    return engine;
  }

  /** Milliseconds of a fixed amount of arithmetic on this engine, to compare devices. */
  async race(): Promise<number> {
    return this.#call("race", {});
  }

  async open(model: Uint8Array, options: ProgramOptions = {}): Promise<Program> {
    const { program, inputs, outputs } = await this.#call("open", { model, options });
    let open = true;
    return {
      inputNames: inputs.map((port) => port.name),
      outputNames: outputs.map((port) => port.name),
      run: async (feeds, fetches) => {
        if (!open) throw new GiantError("internal", "the program is closed");
        return this.#run(program, inputs, outputs, feeds, fetches);
      },
      close: async () => {
        if (!open) return;
        open = false;
        await this.#call("shut", { program });
      },
    };
  }

  async upload(tensor: HostTensor): Promise<Resident> {
    const transfer: ArrayBuffer[] = [];
    return this.#adopt(await this.#call("upload", { tensor: packed(tensor, transfer) }, transfer));
  }

  async download(tensor: Resident): Promise<HostTensor> {
    return this.#call("download", { id: this.#idOf(tensor) });
  }

  async release(...tensors: readonly Resident[]): Promise<void> {
    const ids = tensors.map((tensor) => this.#idOf(tensor));
    for (const id of ids) this.#residents.delete(id);
    await this.#call("release", { ids });
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      if (this.#failure === undefined) await this.#call("close", {});
    } finally {
      this.#worker.ref();
      await this.#exited;
    }
  }

  async #run(
    program: number,
    inputs: readonly Port[],
    outputs: readonly Port[],
    feeds: Readonly<Record<string, HostTensor | Resident>>,
    fetches: Readonly<Record<string, Fetch>>,
  ): Promise<Record<string, HostTensor | Resident>> {
    refuseUnknown(feeds, inputs, "input");
    refuseUnknown(fetches, outputs, "output");
    const transfer: ArrayBuffer[] = [];
    const wireFeeds = inputs.map((port) => {
      const feed = feeds[port.name];
      if (feed === undefined) throw new GiantError("internal", `input ${port.name} is not fed`);
      return "id" in feed ? this.#idOf(feed) : packed(feed, transfer);
    });
    const targets = new Set<number>();
    const wireFetches = outputs.map((port): WireFetch => {
      const fetch = fetches[port.name];
      if (fetch === undefined || fetch === "host" || fetch === "resident") return fetch ?? null;
      const id = this.#idOf(fetch);
      if (targets.has(id)) throw new GiantError("internal", `output ${port.name} goes over a resident tensor that another output goes over`);
      targets.add(id);
      return id;
    });
    const results = await this.#call("run", { program, feeds: wireFeeds, fetches: wireFetches }, transfer);
    const named: Record<string, HostTensor | Resident> = {};
    for (const [i, port] of outputs.entries()) {
      const result = results[i] ?? null;
      if (result !== null) named[port.name] = "data" in result ? result : this.#adopt(result);
    }
    return named;
  }

  #adopt({ id }: WireResident): Resident {
    const known = this.#residents.get(id);
    if (known !== undefined) return known;
    const resident: Resident = { id };
    this.#residents.set(id, resident);
    return resident;
  }

  #idOf(resident: Resident): number {
    if (this.#residents.get(resident.id) !== resident) {
      throw new GiantError("internal", `resident tensor ${resident.id} was released, or belongs to another engine`);
    }
    return resident.id;
  }

  #call<K extends CallName>(call: K, request: Calls[K]["request"], transfer: readonly ArrayBuffer[] = []): Promise<Calls[K]["answer"]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const ticket = this.#nextTicket++;
    return new Promise<Calls[K]["answer"]>((resolve, reject) => {
      if (this.#pending.size === 0) this.#worker.ref();
      this.#pending.set(ticket, { resolve, reject });
      this.#worker.postMessage({ ticket, call, request } as Request, transfer);
    });
  }

  #settle(reply: Reply): void {
    const pending = this.#pending.get(reply.ticket);
    if (pending === undefined) return;
    this.#pending.delete(reply.ticket);
    if (this.#pending.size === 0) this.#worker.unref();
    if ("error" in reply) pending.reject(fromWire(reply.error));
    else pending.resolve(reply.answer as never);
  }

  #fail(error: GiantError): void {
    this.#failure ??= error;
    for (const { reject } of this.#pending.values()) reject(this.#failure);
    this.#pending.clear();
  }
}

/** The tensor with memory of its own that may be handed over: the caller keeps his. */
function packed(tensor: HostTensor, transfer: ArrayBuffer[]): HostTensor {
  const { data } = tensor;
  const large = data.byteLength >= HANDED_OVER_BYTES;
  if (!large && data.byteLength === data.buffer.byteLength) return tensor;
  const copy = data.slice();
  if (large) transfer.push(copy.buffer);
  return { dtype: tensor.dtype, shape: tensor.shape, data: copy };
}

function refuseUnknown(given: Readonly<Record<string, unknown>>, ports: readonly Port[], kind: "input" | "output"): void {
  const names = Object.keys(given);
  if (names.length === 0) return;
  const known = new Set(ports.map((port) => port.name));
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) throw new GiantError("internal", `the graph has no ${kind} ${unknown}; it has ${[...known].slice(0, 8).join(", ")}`);
}

function workerFile(): string {
  try {
    return createRequire(import.meta.url).resolve("#runtime-worker");
  } catch (cause) {
    throw new GiantError("internal", "dist/runtime/worker.js is missing", { hint: "Run npm run build.", cause });
  }
}

function stopped(reason: string): GiantError {
  return new GiantError("device", `the compute thread stopped: ${reason.split("\n")[0]}`, { hint: "Try --device cpu, or a smaller batch." });
}

function closed(): GiantError {
  return new GiantError("internal", "the engine is closed");
}

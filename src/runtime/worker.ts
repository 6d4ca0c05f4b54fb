/** The compute thread: the only place where ONNX Runtime is loaded; answers one call after the other. */
import { parentPort } from "node:worker_threads";
import { env } from "onnxruntime-node";
import { GiantError, invariant } from "../base/errors.ts";
import type { DeviceName } from "./engine.ts";
import { HostMemory, type SessionOpener } from "./host-memory.ts";
import { toWire, type CallName, type Calls, type Reply, type Request, type WireResult } from "./protocol.ts";
import { openSession, portsOf } from "./session.ts";
import type { OpenProgram, TensorHome } from "./tensor-home.ts";
import { END_OF_RUN } from "./write-in-place.ts";

env.logLevel = "fatal"; // nothing is printed: errors come as exceptions

type Handlers = { readonly [K in CallName]: (request: Calls[K]["request"]) => Promise<Calls[K]["answer"]> };

const programs = new Map<number, OpenProgram>();
let nextProgram = 1;
let home: TensorHome | undefined;
let device: DeviceName = "cpu";
let open: SessionOpener;

function started(): TensorHome {
  invariant(home !== undefined, "the compute thread was asked before it was started");
  return home;
}

function programOf(id: number): OpenProgram {
  const program = programs.get(id);
  if (program === undefined) throw new GiantError("internal", `program ${id} was closed or never opened`);
  return program;
}

const handlers: Handlers = {
  async start(request) {
    device = request.device;
    open = (model, options, onDevice) => openSession(model, device, request.threads, options, onDevice);
    if (device === "cpu") {
      home = new HostMemory(open);
      return null;
    }
    const { probe } = await import("./probe.ts"); // the CPU needs no probe, and starts faster without the encoder
    await probe(open);
    home = device === "webgpu" ? new (await import("./gpu-memory.ts")).GpuMemory(open) : new HostMemory(open);
    return null;
  },
  async race() {
    const { timeProducts } = await import("./probe.ts");
    return timeProducts(open);
  },
  async open({ model, options }) {
    const session = await started().open(model, options);
    try {
      const inputs = portsOf(session.inputMetadata);
      const outputs = portsOf(session.outputMetadata).filter((port) => port.name !== END_OF_RUN);
      programs.set(nextProgram, { session, inputs, outputs, profiled: options.profilePrefix !== undefined });
      return { program: nextProgram++, inputs, outputs };
    } catch (error) {
      await session.release();
      throw error;
    }
  },
  async run({ program, feeds, fetches }) {
    return started().run(programOf(program), feeds, fetches);
  },
  async shut({ program }) {
    const { session, profiled } = programOf(program);
    programs.delete(program);
    if (profiled) session.endProfiling();
    await session.release();
    return null;
  },
  async upload({ tensor }) {
    return started().upload(tensor);
  },
  async download({ id }) {
    return started().download(id);
  },
  async release({ ids }) {
    await started().release(ids);
    return null;
  },
  async close() {
    for (const id of programs.keys()) await handlers.shut({ program: id });
    return null;
  },
};

/** What an error message says it happened in. */
const PLACE: Readonly<Record<CallName, string>> = {
  start: "starting the device",
  race: "timing the device",
  open: "opening a graph",
  run: "running a graph",
  shut: "closing a graph",
  upload: "moving a tensor to the device",
  download: "moving a tensor from the device",
  release: "releasing tensors",
  close: "closing the device",
};

async function answer(message: Request): Promise<void> {
  const { ticket, call } = message;
  let reply: Reply;
  try {
    const handler = handlers[call] as (request: Request["request"]) => Promise<Calls[CallName]["answer"]>;
    reply = { ticket, answer: await handler(message.request) };
  } catch (error) {
    reply = { ticket, error: toWire(error, PLACE[call]) };
  }
  parentPort!.postMessage(reply, "answer" in reply ? buffersOf(call, reply.answer) : []);
  if (call === "close") parentPort!.close();
}

/** The memory of tensors that leave for the host: handed over, not copied. */
function buffersOf(call: CallName, answer: Calls[CallName]["answer"]): ArrayBuffer[] {
  const values = call === "run" ? (answer as WireResult[]) : call === "download" ? [answer as WireResult] : [];
  return values.flatMap((value) => (value !== null && "data" in value ? [value.data.buffer as ArrayBuffer] : []));
}

let queue = Promise.resolve();
parentPort!.on("message", (message: Request) => {
  queue = queue.then(() => answer(message)); // one at a time: WebGPU has one queue, and runs must not overtake each other
});

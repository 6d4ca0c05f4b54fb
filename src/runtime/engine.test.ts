/** The engine on the CPU: programs, resident tensors, errors, and a main thread that stays free. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { elementwise, graph, products, scalar, vector } from "../../test/runtime-graphs.ts";
import { GiantError } from "../base/errors.ts";
import { floats, integers, type HostTensor } from "../core/dtype.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import type { Engine } from "./engine.ts";
import { processMemory, resetPeak } from "./memory.ts";
import { WorkerEngine } from "./worker-client.ts";
import { startEngine } from "./worker-engine.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
});
afterAll(async () => engine.close());

/** m' = 0.9 m + 0.1 g; p' = p − 0.5 m': the dependencies of an AdamW update. */
const update = graph({
  nodes: [
    { operator: "Mul", inputs: ["m", "0.9"], outputs: ["m1"] },
    { operator: "Mul", inputs: ["g", "0.1"], outputs: ["g1"] },
    { operator: "Add", inputs: ["m1", "g1"], outputs: ["m'"] },
    { operator: "Mul", inputs: ["m'", "0.5"], outputs: ["step"] },
    { operator: "Sub", inputs: ["p", "step"], outputs: ["p'"] },
  ],
  initializers: [scalar("0.9", 0.9), scalar("0.1", 0.1), scalar("0.5", 0.5)],
  inputs: [vector("p"), vector("m"), vector("g")],
  outputs: [vector("p'"), vector("m'")],
});

function ramp(size: number, scale: number): HostTensor {
  return floats(
    [size],
    Float32Array.from({ length: size }, (_, i) => Math.sin(i * scale)),
  );
}

describe("values", () => {
  test("float32, int32 and bool go in and come out; a subarray is sent alone", async () => {
    const program = await engine.open(
      encodeModel(
        graph({
          nodes: [
            { operator: "Where", inputs: ["mask", "x", "zero"], outputs: ["y"] },
            { operator: "Not", inputs: ["mask"], outputs: ["inverse"] },
            { operator: "Neg", inputs: ["n"], outputs: ["minus"] },
          ],
          initializers: [scalar("zero", 0)],
          inputs: [vector("x"), vector("mask", "bool"), vector("n", "int32")],
          outputs: [vector("y"), vector("inverse", "bool"), vector("minus", "int32")],
        }),
      ),
    );
    expect(program.inputNames).toEqual(["x", "mask", "n"]);
    expect(program.outputNames).toEqual(["y", "inverse", "minus"]);
    const data = Float32Array.of(9, 1, 2, 3, 9).subarray(1, 4);
    const feeds = { x: floats([3], data), mask: { dtype: "bool", shape: [3], data: Uint8Array.of(1, 0, 1) }, n: integers([3], [1, 2, -3]) } as const;
    const out = await program.run(feeds, { y: "host", inverse: "host", minus: "host" });
    expect(out["y"]).toEqual(floats([3], [1, 0, 3]));
    expect(out["inverse"]).toEqual({ dtype: "bool", shape: [3], data: Uint8Array.of(0, 1, 0) });
    expect(out["minus"]).toEqual(integers([3], [-1, -2, 3]));
    expect([...data]).toEqual([1, 2, 3]); // the caller keeps his memory
    expect(Object.keys(await program.run(feeds, { minus: "host" }))).toEqual(["minus"]);
    await program.close();
  });

  test("large feeds are copied, not taken away; empty tensors and scalars work", async () => {
    const program = await engine.open(encodeModel(elementwise("Neg")));
    const large = ramp(100_000, 1);
    const out = (await program.run({ x: large }, { y: "host" }))["y"] as HostTensor;
    expect(large.data.length).toBe(100_000);
    expect(out.data[1]).toBe(-large.data[1]!);
    expect((await program.run({ x: floats([0], []) }, { y: "host" }))["y"]).toEqual(floats([0], []));
    const sum = await engine.open(
      encodeModel(
        graph({
          nodes: [{ operator: "ReduceSum", inputs: ["x"], outputs: ["y"], attributes: { keepdims: { kind: "int", value: 0 } } }],
          inputs: [vector("x")],
          outputs: [{ name: "y", type: "float32", dims: [] }],
        }),
      ),
    );
    expect((await sum.run({ x: floats([3], [1, 2, 3]) }, { y: "host" }))["y"]).toEqual(floats([], [6]));
    await program.close();
    await sum.close();
  });

  test("an output whose shape no input tells comes back all the same, beside one written in place", async () => {
    const program = await engine.open(
      encodeModel(
        graph({
          nodes: [
            { operator: "Compress", inputs: ["x", "mask"], outputs: ["kept"] },
            { operator: "Neg", inputs: ["x"], outputs: ["y"] },
          ],
          inputs: [vector("x"), vector("mask", "bool", "m")],
          outputs: [vector("kept", "float32", "k"), vector("y")],
        }),
      ),
    );
    const x = await engine.upload(floats([3], [1, 2, 3]));
    const y = await engine.upload(floats([3], [0, 0, 0]));
    const out = await program.run({ x, mask: { dtype: "bool", shape: [3], data: Uint8Array.of(1, 0, 1) } }, { kept: "host", y });
    expect(out["kept"]).toEqual(floats([2], [1, 3]));
    expect((await engine.download(y)).data).toEqual(Float32Array.of(-1, -2, -3));
    await program.close();
  });
});

describe("resident tensors", () => {
  test("an output over a resident input is written into its memory, with the values of a run into new memory", async () => {
    const program = await engine.open(encodeModel(update));
    const size = 300_001; // more than one block of every kernel, and no multiple of a vector's width
    const [p, m, g] = [ramp(size, 1), ramp(size, 2), ramp(size, 3)];
    const [rp, rm, rg] = [await engine.upload(p), await engine.upload(m), await engine.upload(g)];
    let expected: Record<string, HostTensor> = { "p'": p, "m'": m };
    for (let step = 0; step < 3; step++) {
      expected = (await program.run({ p: expected["p'"]!, m: expected["m'"]!, g }, { "p'": "host", "m'": "host" })) as Record<string, HostTensor>;
      const out = await program.run({ p: rp, m: rm, g: rg }, { "p'": rp, "m'": rm });
      expect(out["p'"]).toBe(rp);
    }
    const bytes = ({ data }: HostTensor): Buffer => Buffer.from(data.buffer);
    expect(bytes(await engine.download(rp)).equals(bytes(expected["p'"]!))).toBe(true);
    expect(bytes(await engine.download(rm)).equals(bytes(expected["m'"]!))).toBe(true);
    expect(bytes(await engine.download(rg)).equals(bytes(g))).toBe(true);
    await program.close();
  });

  test("an output can become a new resident tensor and be fed again", async () => {
    const program = await engine.open(encodeModel(elementwise("Neg")));
    const { y } = await program.run({ x: floats([2], [1, -2]) }, { y: "resident" });
    expect(await engine.download(y as { id: number })).toEqual(floats([2], [-1, 2]));
    const back = await program.run({ x: y! }, { y: "host" });
    expect(back["y"]).toEqual(floats([2], [1, -2]));
    await engine.release(y as { id: number });
    await expect(program.run({ x: y! }, { y: "host" })).rejects.toThrow("was released, or belongs to another engine");
    await program.close();
  });

  test("writing in place takes no memory: neither ONNX Runtime nor its binding makes a copy", async () => {
    const bytes = 128 * 2 ** 20;
    const program = await engine.open(encodeModel(elementwise("Neg")));
    const x = await engine.upload(floats([bytes / 4], new Float32Array(bytes / 4).fill(1)));
    await program.run({ x }, { y: x });
    const before = processMemory().residentBytes;
    resetPeak();
    for (let i = 0; i < 4; i++) await program.run({ x }, { y: x });
    const { residentBytes, peakBytes } = processMemory();
    expect(Math.max(residentBytes, process.platform === "linux" ? peakBytes : 0) - before).toBeLessThan(bytes / 4);
    expect((await engine.download(x)).data[7]).toBe(-1);
    await engine.release(x);
    await program.close();
  });

  test("two outputs cannot go over one tensor, and a tensor of another engine is not taken", async () => {
    const program = await engine.open(encodeModel(update));
    const p = await engine.upload(floats([1], [1]));
    const feeds = { p, m: floats([1], [1]), g: floats([1], [1]) };
    await expect(program.run(feeds, { "p'": p, "m'": p })).rejects.toThrow("output m' goes over a resident tensor that another output goes over");
    await expect(program.run({ ...feeds, p: { id: p.id } }, { "p'": "host" })).rejects.toThrow("belongs to another engine");
    await program.close();
  });

  test("a result of another shape does not touch the resident tensor", async () => {
    const program = await engine.open(encodeModel(elementwise("Neg")));
    const target = await engine.upload(floats([3], [7, 8, 9]));
    await expect(program.run({ x: floats([2], [1, 2]) }, { y: target })).rejects.toThrow("output y: float32 [2] does not fit the resident float32 [3]");
    expect(await engine.download(target)).toEqual(floats([3], [7, 8, 9]));
    await program.close();
  });
});

describe("weights in files", () => {
  test("external data is read from the weights' folder, at an offset, without writing anything", async () => {
    const folder = mkdtempSync(join(tmpdir(), "weights-"));
    try {
      writeFileSync(join(folder, "w.safetensors"), new Uint8Array(Float32Array.of(9, 9, 10, 20, 30).buffer));
      const model = encodeModel(
        graph({
          nodes: [{ operator: "Add", inputs: ["x", "w"], outputs: ["y"] }],
          initializers: [{ name: "w", type: "float32", dims: [3], content: { kind: "external", location: "w.safetensors", offset: 8, length: 12 } }],
          inputs: [vector("x")],
          outputs: [vector("y")],
        }),
      );
      const program = await engine.open(model, { weightsFolder: folder, sessionConfig: { "session.disable_prepacking": "1" } });
      expect((await program.run({ x: floats([3], [1, 2, 3]) }, { y: "host" }))["y"]).toEqual(floats([3], [11, 22, 33]));
      await program.close();
      expect(readdirSync(folder)).toEqual(["w.safetensors"]);
      rmSync(join(folder, "w.safetensors"));
      const error = await engine.open(model, { weightsFolder: folder }).then(
        () => undefined,
        (e: unknown) => e,
      );
      expect(error).toMatchObject({ code: "model" });
      expect((error as GiantError).message).toMatch(/^opening a graph: .*w\.safetensors/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("a profile is written when it is asked for", async () => {
    const folder = mkdtempSync(join(tmpdir(), "profile-"));
    try {
      const program = await engine.open(encodeModel(elementwise("Neg")), { profilePrefix: join(folder, "step") });
      await program.run({ x: floats([2], [1, 2]) }, { y: "host" });
      await program.close();
      expect(readdirSync(folder)).toEqual([expect.stringMatching(/^step.*\.json$/)]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("errors", () => {
  test.each([
    ["an input that is not fed", {}, { y: "host" }, "input x is not fed"],
    ["an unknown input", { x: floats([1], [1]), z: floats([1], [1]) }, { y: "host" }, "the graph has no input z; it has x"],
    ["an unknown output", { x: floats([1], [1]) }, { q: "host" }, "the graph has no output q; it has y"],
    ["a wrong rank", { x: floats([1, 1], [1]) }, { y: "host" }, "input x: fed float32 [1, 1], needed float32 [n]"],
    ["a wrong type", { x: integers([1], [1]) }, { y: "host" }, "input x: fed int32 [1], needed float32 [n]"],
  ] as const)("%s is named", async (_, feeds, fetches, message) => {
    const program = await engine.open(encodeModel(elementwise("Neg")));
    await expect(program.run(feeds, fetches)).rejects.toThrow(message);
    await program.close();
  });

  test("an error of ONNX Runtime is one line that names the operator, and the engine goes on", async () => {
    const program = await engine.open(
      encodeModel(
        graph({
          nodes: [{ operator: "Add", inputs: ["a", "b"], outputs: ["y"] }],
          inputs: [vector("a", "float32", "i"), vector("b", "float32", "j")],
          outputs: [vector("y", "float32", "k")],
        }),
      ),
    );
    const run = (b: HostTensor) => program.run({ a: floats([2], [1, 2]), b }, { y: "host" });
    const error = (await run(floats([3], [1, 2, 3])).catch((e: unknown) => e)) as GiantError;
    expect(error).toBeInstanceOf(GiantError);
    expect(error.message).toMatch(/^running a graph: Add: .*2 by 3/);
    expect(error.message).not.toMatch(/\n|\.cc|\.h:/);
    expect((await run(floats([1], [1])))["y"]).toEqual(floats([2], [2, 3]));
    await program.close();
    await expect(run(floats([1], [1]))).rejects.toThrow("the program is closed");
  });

  test("a tensor that no machine can hold is an error of memory, and the engine goes on", async () => {
    const dims = [2 ** 20, 2 ** 20, 64];
    const shape = new Uint8Array(BigInt64Array.from(dims, BigInt).buffer);
    const program = await engine.open(
      encodeModel(
        graph({
          nodes: [
            { operator: "Expand", inputs: ["x", "shape"], outputs: ["large"] },
            { operator: "ReduceSum", inputs: ["large"], outputs: ["y"] },
          ],
          initializers: [{ name: "shape", type: "int64", dims: [3], content: { kind: "bytes", bytes: shape } }],
          inputs: [vector("x", "float32", 1)],
          outputs: [{ name: "y", type: "float32", dims: [1, 1, 1] }],
        }),
      ),
    );
    await expect(program.run({ x: floats([1], [1]) }, { y: "host" })).rejects.toMatchObject({
      code: "memory",
      message: expect.stringMatching(/^running a graph: /),
    });
    await program.close();
  });

  test.each([
    ["ends", "process.exit(3)", "the compute thread stopped: exit code 3"],
    ["throws", "throw new Error('boom')", "the compute thread stopped: boom"],
  ])("a compute thread that %s answers every call with an error", async (_, end, message) => {
    const folder = mkdtempSync(join(tmpdir(), "worker-"));
    const file = join(folder, "worker.mjs");
    writeFileSync(
      file,
      `import { parentPort } from "node:worker_threads";
       parentPort.on("message", ({ ticket, call }) => { if (call === "start") parentPort.postMessage({ ticket, answer: null }); else ${end}; });`,
    );
    try {
      const broken = await WorkerEngine.start("cpu", 1, file);
      const calls = await Promise.allSettled([broken.upload(floats([1], [1])), broken.upload(floats([1], [1]))]);
      for (const call of calls) expect(call).toMatchObject({ status: "rejected", reason: { code: "device", message } });
      await expect(broken.race()).rejects.toThrow(message);
      await broken.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("bytes that are no model are refused", async () => {
    await expect(engine.open(new Uint8Array([1, 2, 3]))).rejects.toThrow(/^opening a graph: /);
  });

  test("a closed engine answers with an error; closing twice is fine; another can be started after it", async () => {
    const first = await startEngine({ device: "cpu", threads: 1 });
    const program = await first.open(encodeModel(elementwise("Neg")));
    await first.close();
    await first.close();
    await expect(program.run({ x: floats([1], [1]) }, { y: "host" })).rejects.toThrow("the engine is closed");
    const second = await startEngine({ device: "cpu", threads: 1 });
    const again = await second.open(encodeModel(elementwise("Neg")));
    expect((await again.run({ x: floats([1], [1]) }, { y: "host" }))["y"]).toEqual(floats([1], [-1]));
    await second.close();
  });

  test("threads must be a positive whole number", async () => {
    await expect(startEngine({ device: "cpu", threads: 0 })).rejects.toMatchObject({ code: "usage" });
  });
});

test("the main thread's timers tick, and an abort is heard, while a run is under way", async () => {
  const size = 1024;
  const program = await engine.open(encodeModel(products(40, size))); // 86 GFLOP: some 400 ms and more
  const x = floats([size, size], new Float32Array(size * size));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  const abort = AbortSignal.timeout(50);
  let heardAfter = Infinity;
  const start = performance.now();
  abort.addEventListener("abort", () => (heardAfter = performance.now() - start));
  await program.run({ x }, { y: "host" });
  const duration = performance.now() - start;
  clearInterval(timer);
  expect(duration).toBeGreaterThan(100);
  expect(heardAfter).toBeLessThan(duration);
  expect(ticks).toBeGreaterThan(duration / 50);
  await program.close();
});

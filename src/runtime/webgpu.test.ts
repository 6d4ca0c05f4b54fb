/** The engine on WebGPU, with SwiftShader where there is no graphics processor. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { elementwise, graph, scalar, vector } from "../../test/runtime-graphs.ts";
import { useSoftwareWebgpu } from "../../test/webgpu.ts";
import { floats, integers, type HostTensor } from "../core/dtype.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import type { Engine, Resident } from "./engine.ts";
import { startEngine } from "./worker-engine.ts";

let engine: Engine;
beforeAll(async () => {
  useSoftwareWebgpu();
  engine = await startEngine({ device: "webgpu", threads: 1 });
});
afterAll(async () => engine?.close());

test("the engine says that it is on WebGPU", () => {
  expect(engine.device).toBe("webgpu");
});

test.each([
  ["a vector", floats([3], [1, -2, 3])],
  ["a matrix", floats([2, 2], [1, 2, 3, 4])],
  ["a scalar", floats([], [5])],
  ["an empty tensor", floats([0], [])],
  ["integers", integers([3], [1, -2, 3])],
  ["booleans", { dtype: "bool", shape: [5], data: Uint8Array.of(1, 0, 1, 1, 0) }],
] as const)("%s survives the way to the device and back", async (_, tensor) => {
  const resident = await engine.upload(tensor);
  expect(await engine.download(resident)).toEqual(tensor);
  await engine.release(resident);
});

test("an update over resident inputs gives the same as on the host, step after step", async () => {
  const program = await engine.open(
    encodeModel(
      graph({
        nodes: [
          { operator: "Mul", inputs: ["g", "rate"], outputs: ["step"] },
          { operator: "Sub", inputs: ["p", "step"], outputs: ["p'"] },
          { operator: "ReduceSum", inputs: ["p'"], outputs: ["sum"], attributes: { keepdims: { kind: "int", value: 0 } } },
        ],
        initializers: [scalar("rate", 0.5)],
        inputs: [vector("p"), vector("g")],
        outputs: [vector("p'"), { name: "sum", type: "float32", dims: [] }],
      }),
    ),
  );
  const p = await engine.upload(floats([4], [1, 2, 3, 4]));
  const g = await engine.upload(floats([4], [2, 2, 2, 2]));
  for (let step = 1; step <= 3; step++) {
    const out = await program.run({ p, g }, { "p'": p, sum: "host" });
    expect(out["p'"]).toBe(p);
    expect(out["sum"]).toEqual(floats([], [10 - 4 * step]));
  }
  expect(await engine.download(p)).toEqual(floats([4], [-2, -1, 0, 1]));
  expect(await engine.download(g)).toEqual(floats([4], [2, 2, 2, 2]));
  await program.close();
});

test("outputs that are not asked for do no harm, and runs asked for at once are answered in turn", async () => {
  const program = await engine.open(
    encodeModel(
      graph({
        nodes: [
          { operator: "Neg", inputs: ["x"], outputs: ["y"] },
          { operator: "Abs", inputs: ["x"], outputs: ["z"] },
        ],
        inputs: [vector("x")],
        outputs: [vector("y"), vector("z")],
      }),
    ),
  );
  const runs = Array.from({ length: 8 }, async (_, i) => program.run({ x: floats([1], [-i - 1]) }, i % 2 === 0 ? { y: "host" } : { z: "host" }));
  const results = await Promise.all(runs);
  expect(results.map((out) => (Object.values(out)[0] as HostTensor).data[0])).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  await program.close();
});

test("a new resident output can be fed on; a released one cannot", async () => {
  const program = await engine.open(encodeModel(elementwise("Neg")));
  const { y } = (await program.run({ x: floats([2], [1, -2]) }, { y: "resident" })) as { y: Resident };
  expect((await program.run({ x: y }, { y: "host" }))["y"]).toEqual(floats([2], [1, -2]));
  await engine.release(y);
  await expect(program.run({ x: y }, { y: "host" })).rejects.toThrow("was released");
  await program.close();
});

test("a CPU engine works beside it", async () => {
  const cpu = await startEngine({ device: "cpu", threads: 1 });
  const program = await cpu.open(encodeModel(elementwise("Neg")));
  expect((await program.run({ x: floats([1], [1]) }, { y: "host" }))["y"]).toEqual(floats([1], [-1]));
  await cpu.close();
});

test("auto does not take a software adapter over the CPU", async () => {
  const best = await startEngine({ device: "auto", threads: 1 });
  const software = /swiftshader/.test(process.env["VK_ICD_FILENAMES"] ?? "");
  expect(software && best.device === "webgpu").toBe(false);
  await best.close();
});

/** Sums of many rows that fall on few places: right, and on the CPU the same bits every time, whatever the threads. */
import { expect, it } from "vitest";
import { OPERATOR_OF_MAXIMUM } from "../../test/tolerance.ts";
import { useSoftwareWebgpu } from "../../test/webgpu.ts";
import { Random } from "../base/random.ts";
import { type HostTensor, floats, integers } from "../core/dtype.ts";
import { input, scatterAdd } from "../core/operations.ts";
import type { EngineOptions } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { emit } from "./emit.ts";
import { encodeModel } from "./protobuf.ts";

const CASES = [
  { rows: 3, width: 64, updates: 4096 },
  { rows: 1, width: 1, updates: 50_000 },
  { rows: 500, width: 576, updates: 2048 },
];

interface Sums {
  readonly found: readonly Float32Array[];
  /** The largest error of any element, relative to the largest sum. */
  readonly worst: number;
}

/** Five sums per engine of rows that fall on few places. */
async function sumsOn(engines: readonly EngineOptions[], { rows, width, updates }: (typeof CASES)[number]): Promise<Sums> {
  const random = new Random(5);
  const ids = Int32Array.from({ length: updates }, () => random.integer(rows));
  const values = Float32Array.from({ length: updates * width }, () => random.normal());
  const expected = new Float64Array(rows * width);
  ids.forEach((id, n) => {
    for (let i = 0; i < width; i++) expected[id * width + i]! += values[n * width + i]!;
  });
  const graph = { sum: scatterAdd(input("ids", "int32", ["N"]), input("updates", "float32", ["N", width]), rows) };
  const found: Float32Array[] = [];
  for (const options of engines) {
    const engine = await startEngine(options);
    const program = await engine.open(encodeModel(emit(graph, { target: engine.device })));
    for (let repeat = 0; repeat < 5; repeat++) {
      const outputs = await program.run({ ids: integers([updates], ids), updates: floats([updates, width], values) }, { sum: "host" });
      found.push((outputs["sum"] as HostTensor).data as Float32Array);
    }
    await program.close();
    await engine.close();
  }
  const largest = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const worst = Math.max(...found.map((sum) => sum.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0))) / largest;
  return { found, worst };
}

it.each(CASES)("$updates rows on $rows places of width $width on the CPU: right, and the same bits on any number of threads", async (size) => {
  const { found, worst } = await sumsOn(
    [1, 2, 4].map((threads) => ({ device: "cpu", threads })),
    size,
  );
  expect(worst).toBeLessThanOrEqual(OPERATOR_OF_MAXIMUM);
  for (const sum of found.slice(1)) expect(Buffer.compare(Buffer.from(sum.buffer), Buffer.from(found[0]!.buffer))).toBe(0);
});

it.each(CASES)("$updates rows on $rows places of width $width on WebGPU: right", async (size) => {
  useSoftwareWebgpu();
  const { worst } = await sumsOn([{ device: "webgpu" }], size);
  expect(worst).toBeLessThanOrEqual(OPERATOR_OF_MAXIMUM);
});

/** Sums of many rows that fall on few places: the same bits every time, whatever the threads, and the right ones. */
import { expect, it } from "vitest";
import { Random } from "../base/random.ts";
import { type HostTensor, floats, integers } from "../core/dtype.ts";
import { input, scatterAdd } from "../core/operations.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { emit } from "./emit.ts";
import { encodeModel } from "./protobuf.ts";
import { OPERATOR_OF_MAXIMUM } from "../../test/tolerance.ts";

it.each([
  { rows: 3, width: 64, updates: 4096 },
  { rows: 1, width: 1, updates: 50_000 },
  { rows: 500, width: 576, updates: 2048 },
])("$updates rows on $rows places of width $width", async ({ rows, width, updates }) => {
  const random = new Random(5);
  const ids = Int32Array.from({ length: updates }, () => random.integer(rows));
  const values = Float32Array.from({ length: updates * width }, () => random.normal());
  const expected = new Float64Array(rows * width);
  ids.forEach((id, n) => {
    for (let i = 0; i < width; i++) expected[id * width + i]! += values[n * width + i]!;
  });
  const graph = { sum: scatterAdd(input("ids", "int32", ["N"]), input("updates", "float32", ["N", width]), rows) };
  const found: Float32Array[] = [];
  for (const threads of [1, 2, 4]) {
    const engine = await startEngine({ device: "cpu", threads });
    const program = await engine.open(encodeModel(emit(graph, { target: "cpu" })));
    for (let repeat = 0; repeat < 5; repeat++) {
      const outputs = await program.run({ ids: integers([updates], ids), updates: floats([updates, width], values) }, { sum: "host" });
      found.push((outputs["sum"] as HostTensor).data as Float32Array);
    }
    await engine.close();
  }
  const largest = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const worst = found.map((sum) => sum.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0) / largest);
  expect(Math.max(...worst), worst.join(" ")).toBeLessThanOrEqual(OPERATOR_OF_MAXIMUM);
  for (const sum of found.slice(1)) expect(Buffer.compare(Buffer.from(sum.buffer), Buffer.from(found[0]!.buffer))).toBe(0);
});

/** Dropout's masks as chance would make them: the right share kept, no two places or seeds alike, no stripes. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Random } from "../base/random.ts";
import { type HostTensor, floats } from "../core/dtype.ts";
import { input } from "../core/operations.ts";
import { emit } from "../onnx/emit.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { DROPOUT_ROWS, dropoutFrom, dropoutRows } from "./dropout.ts";

const ROWS = 256;
const WIDTH = 192;
const CELLS = ROWS * WIDTH;

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
});
afterAll(() => engine.close());

/** 1 where an element is kept, 0 where it is dropped, [ROWS, WIDTH], in the device's float32; checks the scale on the way. */
async function maskOf(rate: number, seed: number, path: string): Promise<Float64Array> {
  const y = dropoutFrom(ROWS)(input("x", "float32", [ROWS, WIDTH]), rate, path);
  const program = await engine.open(encodeModel(emit({ y }, { target: engine.device })));
  const feeds = { x: floats([ROWS, WIDTH], new Float32Array(CELLS).fill(1)), [DROPOUT_ROWS]: floats([ROWS, 1], dropoutRows(ROWS, seed)) };
  const { data } = (await program.run(feeds, { y: "host" }))["y"] as HostTensor;
  await program.close();
  expect(new Set(data)).toEqual(new Set([0, Math.fround(1 / (1 - rate))]));
  return Float64Array.from(data, (value) => Number(value !== 0));
}

/** Pearson's correlation of two masks. */
function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const n = a.length;
  let [sa, sb, saa, sbb, sab] = [0, 0, 0, 0, 0];
  for (let i = 0; i < n; i++) {
    sa += a[i]!;
    sb += b[i]!;
    saa += a[i]! ** 2;
    sbb += b[i]! ** 2;
    sab += a[i]! * b[i]!;
  }
  return (sab / n - (sa / n) * (sb / n)) / Math.sqrt((saa / n - (sa / n) ** 2) * (sbb / n - (sb / n) ** 2));
}

/** Correlations of N independent pairs are normal with deviation 1/√N; none of a few thousand is beyond five. */
const BEYOND = 5;

describe.each([0.05, 0.1, 0.5])("rate %d", (rate) => {
  let mask: Float64Array;
  beforeAll(async () => {
    mask = await maskOf(rate, 1, "model.layers.0.self_attn.q_proj");
  });

  it("keeps its share, over all, in each row and in each column", () => {
    const share = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
    const deviation = Math.sqrt(rate * (1 - rate));
    expect(Math.abs(share([...mask]) - (1 - rate))).toBeLessThan((BEYOND * deviation) / Math.sqrt(CELLS));
    for (let r = 0; r < ROWS; r++)
      expect(Math.abs(share([...mask.subarray(r * WIDTH, (r + 1) * WIDTH)]) - (1 - rate)), `row ${r}`).toBeLessThan((BEYOND * deviation) / Math.sqrt(WIDTH));
    for (let c = 0; c < WIDTH; c++)
      expect(Math.abs(share(Array.from({ length: ROWS }, (_, r) => mask[r * WIDTH + c]!)) - (1 - rate)), `column ${c}`).toBeLessThan(
        (BEYOND * deviation) / Math.sqrt(ROWS),
      );
  });

  it("is another one at another place and with another seed, and the same one with the same", async () => {
    for (const [seed, path] of [
      [1, "model.layers.1.self_attn.q_proj"],
      [1, "model.layers.0.self_attn.k_proj"],
      [2, "model.layers.0.self_attn.q_proj"],
      [3, "model.layers.0.self_attn.q_proj"],
    ] as const) {
      expect(Math.abs(correlation(mask, await maskOf(rate, seed, path))), `${seed} ${path}`).toBeLessThan(BEYOND / Math.sqrt(CELLS));
    }
    expect(await maskOf(rate, 1, "model.layers.0.self_attn.q_proj")).toEqual(mask);
  });

  it("ties no row to another row and no column to another column", () => {
    const row = (r: number): Float64Array => mask.subarray(r * WIDTH, (r + 1) * WIDTH);
    const column = (c: number): Float64Array => Float64Array.from({ length: ROWS }, (_, r) => mask[r * WIDTH + c]!);
    const random = new Random(7);
    for (let pair = 0; pair < 2000; pair++) {
      const [r, c] = [random.integer(ROWS - 1), random.integer(WIDTH - 1)];
      for (const [what, one, other, n] of [
        ["neighbouring rows", row(r), row(r + 1), WIDTH],
        ["rows", row(r), row((r + 1 + random.integer(ROWS - 1)) % ROWS), WIDTH],
        ["neighbouring columns", column(c), column(c + 1), ROWS],
        ["columns", column(c), column((c + 1 + random.integer(WIDTH - 1)) % WIDTH), ROWS],
      ] as const) {
        expect(Math.abs(correlation(one, other)), `${what} near ${r}, ${c}`).toBeLessThan((BEYOND + 1) / Math.sqrt(n));
      }
    }
  });
});

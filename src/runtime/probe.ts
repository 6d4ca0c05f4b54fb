/** Finds out whether a device really computes, and how fast, by letting it multiply matrices. */
import { Tensor } from "onnxruntime-node";
import { GiantError } from "../base/errors.ts";
import type { SessionOpener } from "./host-memory.ts";
import { chainGraph, squareGraph } from "./probe-graphs.ts";

/**
 * Squares a 2 × 2 matrix on the device, without letting the CPU step in.
 * @throws GiantError("device") when the product is wrong; ONNX Runtime's own error when there is no device.
 */
export async function probe(open: SessionOpener): Promise<void> {
  const session = await open(squareGraph(), { sessionConfig: { "session.disable_cpu_ep_fallback": "1" } }, false);
  try {
    const x = new Tensor("float32", Float32Array.of(1, 2, 3, 4), [2, 2]);
    const y = [...((await session.run({ x }))["y"]!.data as Float32Array)];
    const expected = [7, 10, 15, 22];
    if (y.some((value, i) => value !== expected[i])) {
      throw new GiantError("device", `the device computes wrongly: [1 2; 3 4]² gave ${y.join(" ")}, needed ${expected.join(" ")}`);
    }
  } finally {
    await session.release();
  }
}

const RACE_SIZE = 1024;
const RACE_PRODUCTS = 4; // 8.6 GFLOP

/** Milliseconds of four products of 1024 × 1024 matrices, the best of two after a warm-up. */
export async function timeProducts(open: SessionOpener): Promise<number> {
  const [warm, timed] = [await open(chainGraph(1, RACE_SIZE), {}, false), await open(chainGraph(RACE_PRODUCTS, RACE_SIZE), {}, false)];
  try {
    const x = new Tensor("float32", new Float32Array(RACE_SIZE * RACE_SIZE), [RACE_SIZE, RACE_SIZE]);
    await warm.run({ x });
    let best = Infinity;
    for (let i = 0; i < 2; i++) {
      const start = performance.now();
      await timed.run({ x });
      best = Math.min(best, performance.now() - start);
    }
    return best;
  } finally {
    await warm.release();
    await timed.release();
  }
}

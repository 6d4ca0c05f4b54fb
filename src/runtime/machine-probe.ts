/** Times graphs that resemble a training step on an engine: two seconds that tell how fast this machine is. */
import { floats } from "../core/dtype.ts";
import type { MachineFigures, ProductFigures } from "../plan/machine.ts";
import type { Engine, Program, Resident } from "./engine.ts";
import { crossingGraph, elementwiseGraph, productGraph, softmaxGraph, type TimedGraph, transposeGraph } from "./machine-graphs.ts";

/** The first of them warms up. */
const ROUNDS = 6;
const FLOAT = 4; // bytes

/** Tokens of a micro-batch, width of a typical layer, rank of an adapter, and width of a very small model. */
const [TOKENS, WIDTH, RANK, SMALL] = [512, 1024, 16, 64];

/** The figures of the machine as `engine` uses it: of several rounds the fastest counts, which nobody disturbed. */
export async function probeMachine(engine: Engine): Promise<MachineFigures> {
  const seconds = (timed: TimedGraph): Promise<number> => timeGraph(engine, timed);
  const secondsPerOperator = await seconds(elementwiseGraph(16, 1000));
  const product = async (transA: boolean, transB: boolean): Promise<ProductFigures> => {
    // Gradients of weights multiply over the tokens, all others over the width.
    const [wide, thin] = [[TOKENS, WIDTH, WIDTH] as const, transA ? ([RANK, TOKENS, WIDTH] as const) : ([TOKENS, WIDTH, RANK] as const)];
    const timed = async (dims: readonly [number, number, number], count: number): Promise<Timed> => ({
      ...amounts(dims),
      seconds: (await seconds(productGraph(transA, transB, dims, count))) - secondsPerOperator,
    });
    const rates = solve(await timed(wide, 3), await timed(thin, 40));
    const small = await timed([TOKENS, SMALL, SMALL], 100);
    const explained = small.flops / rates.flopsPerSecond + small.bytes / rates.bytesPerSecond;
    return { seconds: Math.max(0, small.seconds - explained), ...rates };
  };
  const rate = async (bytes: number, timed: TimedGraph): Promise<number> => bytes / Math.max((await seconds(timed)) - secondsPerOperator, 1e-9);
  const elementwise = [];
  for (const [elements, count] of [
    [2 ** 14, 200],
    [2 ** 18, 40],
    [2 ** 20, 10],
    [2 ** 23, 2],
  ] as const) {
    const bytes = 3 * FLOAT * elements;
    elementwise.push({ bytes, bytesPerSecond: await rate(bytes, elementwiseGraph(elements, count)) });
  }
  const matrix = 4096;
  const movement = [];
  for (const [width, count] of [
    [8, 200],
    [64, 40],
  ] as const) {
    const heads = 8;
    const bytes = 2 * FLOAT * TOKENS * heads * width;
    movement.push({ bytes, bytesPerSecond: await rate(bytes, transposeGraph([4, TOKENS / 4, heads, width], count)) });
  }
  const fresh = 2 ** 19;
  const secondsPerCrossing = await seconds(crossingGraph(128, 16));
  return {
    device: engine.device,
    threads: engine.threads,
    products: { NN: await product(false, false), NT: await product(false, true), TN: await product(true, false) },
    rowProductBytesPerSecond: await rate(FLOAT * matrix ** 2, productGraph(false, true, [1, matrix, matrix], 1)),
    elementwise,
    softmaxBytesPerSecond: await rate(2 * FLOAT * TOKENS * TOKENS, softmaxGraph([TOKENS, TOKENS], 20)),
    movement,
    secondsPerOperator,
    secondsPerTensor: secondsPerCrossing / 2,
    freshBytesPerSecond: (FLOAT * fresh) / Math.max((await seconds(crossingGraph(16, fresh))) - secondsPerCrossing, 1e-9),
  };
}

interface Timed {
  readonly flops: number;
  readonly bytes: number;
  readonly seconds: number;
}

function amounts([M, K, N]: readonly [number, number, number]): Pick<Timed, "flops" | "bytes"> {
  return { flops: 2 * M * K * N, bytes: FLOAT * (M * K + K * N + M * N) };
}

/** The two rates that explain two timings: seconds = flops / flopsPerSecond + bytes / bytesPerSecond. */
function solve(wide: Timed, thin: Timed): { flopsPerSecond: number; bytesPerSecond: number } {
  const determinant = wide.flops * thin.bytes - thin.flops * wide.bytes;
  const perFlop = (wide.seconds * thin.bytes - thin.seconds * wide.bytes) / determinant;
  const perByte = (thin.seconds * wide.flops - wide.seconds * thin.flops) / determinant;
  // Noise may make one of the two terms vanish: then the other explains all.
  if (perByte <= 0) return { flopsPerSecond: wide.flops / wide.seconds, bytesPerSecond: Number.MAX_VALUE };
  return { flopsPerSecond: perFlop > 0 ? 1 / perFlop : wide.flops / wide.seconds, bytesPerSecond: 1 / perByte };
}

/** Seconds of one of the graph's operators. */
async function timeGraph(engine: Engine, { model, inputs, count }: TimedGraph): Promise<number> {
  const program = await engine.open(model);
  const fed: Resident[] = [];
  for (const dims of inputs) {
    const size = dims.reduce((a, b) => a * b, 1);
    fed.push(await engine.upload(floats(dims, new Float32Array(size).fill(0.5))));
  }
  const results: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const begin = performance.now();
    await runOnce(engine, program, fed);
    if (round > 0) results.push((performance.now() - begin) / 1000);
  }
  await engine.release(...fed);
  await program.close();
  return Math.min(...results) / count;
}

async function runOnce(engine: Engine, program: Program, fed: readonly Resident[]): Promise<void> {
  const feeds = Object.fromEntries(fed.map((resident, i) => [`x${i}`, resident]));
  const results = await program.run(feeds, Object.fromEntries(program.outputNames.map((name) => [name, "resident" as const])));
  await engine.release(...(Object.values(results) as Resident[]));
}

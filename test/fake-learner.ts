/** A deterministic learner in plain arithmetic, so that the loop, checkpoints and resuming are tested without a graph. */
import { floats, type HostTensor } from "../src/core/dtype.ts";
import type { Batch } from "../src/data/batch.ts";
import type { BatchSource, EpochPlan } from "../src/train/batch-source.ts";
import { Random } from "../src/base/random.ts";
import type { Learner, LearnerState } from "../src/train/learner.ts";

const WIDTH = 8;

/** Learns a table of 8 scores: label `id` wants `scores[id % 8]` to reach 1; dropout leaves out some labels by seed. */
export class FakeLearner implements Learner {
  readonly trainableParameters: number = WIDTH;
  readonly totalParameters: number = 10 * WIDTH;
  /** Update (1-based) at which the loss or the gradient norm turns into NaN. */
  breakLossAt = 0;
  breakGradientAt = 0;
  #scores: Float32Array = Float32Array.from({ length: WIDTH }, (_, i) => i / 16);
  #first: Float32Array = new Float32Array(WIDTH);
  #second: Float32Array = new Float32Array(WIDTH);
  #gradient: Float32Array = new Float32Array(WIDTH);
  #updates = 0;

  async accumulate(batch: Batch, scale: number, dropoutSeed: number): Promise<{ lossSum: number }> {
    const random = new Random(dropoutSeed);
    let lossSum = 0;
    for (const id of batch.labelIds) {
      const error = this.#scores[id % WIDTH]! - 1;
      lossSum += error * error;
      if (random.uniform() > 0.2) this.#gradient[id % WIDTH]! += 2 * error * scale;
    }
    return { lossSum: this.#updates + 1 === this.breakLossAt ? NaN : lossSum };
  }

  async update(learningRate: number): Promise<{ gradientNorm: number }> {
    this.#updates++;
    const norm = Math.hypot(...this.#gradient);
    for (let i = 0; i < WIDTH; i++) {
      const g = this.#gradient[i]!;
      this.#first[i] = 0.9 * this.#first[i]! + 0.1 * g;
      this.#second[i] = 0.999 * this.#second[i]! + 0.001 * g * g;
      const m = this.#first[i]! / (1 - 0.9 ** this.#updates);
      const v = this.#second[i]! / (1 - 0.999 ** this.#updates);
      this.#scores[i]! -= learningRate * (m / (Math.sqrt(v) + 1e-8));
    }
    this.#gradient.fill(0);
    return { gradientNorm: this.#updates === this.breakGradientAt ? Infinity : norm };
  }

  async evaluate(batch: Batch): Promise<{ lossSum: number }> {
    return { lossSum: batch.labelIds.reduce((sum, id) => sum + (this.#scores[id % WIDTH]! - 1) ** 2, 0) };
  }

  async findNotFinite(): ReturnType<Learner["findNotFinite"]> {
    return Promise.resolve(this.breakLossAt > 0 ? { kind: "trained", name: "scores" } : undefined);
  }

  async save(): Promise<LearnerState> {
    const one = (data: Float32Array): ReadonlyMap<string, HostTensor> => new Map([["scores", floats([2, WIDTH / 2], data.slice())]]);
    return { parameters: one(this.#scores), firstMoments: one(this.#first), secondMoments: one(this.#second), updates: this.#updates };
  }

  async load(state: LearnerState): Promise<void> {
    const data = (map: ReadonlyMap<string, HostTensor>): Float32Array => Float32Array.from(map.get("scores")!.data);
    this.#scores = data(state.parameters);
    this.#first = data(state.firstMoments);
    this.#second = data(state.secondMoments);
    this.#updates = state.updates;
    this.#gradient.fill(0);
  }

  async close(): Promise<void> {}
}

/** Small batches of random tokens in which every other position is labelled; another order in every epoch. */
export function fakeSource(batches: number, seed: number): BatchSource {
  return { epoch: (number) => fakePlan(batches, Random.named(seed, `epoch ${number}`).uint32()) };
}

export function fakePlan(batches: number, seed: number): EpochPlan {
  return { length: batches, batch: (index) => fakeBatch(Random.named(seed, `batch ${index}`)) };
}

function fakeBatch(random: Random): Batch {
  const rows = 2;
  const length = 6;
  const size = rows * length;
  const labelled = 2 + random.integer(3);
  return {
    rows,
    length,
    tokens: Int32Array.from({ length: size }, () => random.integer(100)),
    positions: Int32Array.from({ length: size }, (_, i) => i % length),
    segments: Int32Array.from({ length: size }, (_, i) => (i % length < 5 ? 1 : 0)),
    labelRows: Int32Array.from({ length: labelled }, (_, i) => 2 * i),
    labelIds: Int32Array.from({ length: labelled }, () => random.integer(100)),
  };
}

/** The same seed gives the same bits, on two threads, with dropout, and with embeddings that many equal tokens pull at. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loraConfigurations, families } from "../../test/adapter-cases.ts";
import { goldenFolder } from "../../test/golden.ts";
import { rowsOf } from "../../test/model-logits.ts";
import { GRADIENT_OF_MAXIMUM, worstExcess } from "../../test/tolerance.ts";
import { Random } from "../base/random.ts";
import type { HostTensor } from "../core/dtype.ts";
import type { Batch } from "../data/batch.ts";
import { full } from "../peft/full.ts";
import { lora } from "../peft/lora.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { newAdapter } from "../workbench/adapter.ts";
import { openModel } from "../workbench/open-model.ts";
import { createLearner, type GraphLearner } from "./graph-learner.ts";
import type { LearnerState } from "./learner.ts";
import { ADAMW } from "./step-graph.ts";

const DISTINCT = 5;

/** Rows in which a few tokens stand again and again. */
function crowded(seed: number): Batch {
  const random = new Random(seed);
  return rowsOf(Array.from({ length: 4 }, () => [{ tokens: Array.from({ length: 64 }, () => random.integer(DISTINCT)) }]));
}

const METHODS = ["full", "embeddings and head", "saved norm and embedding", "lora"];
const engines = new Map<number, Engine>();
beforeAll(async () => {
  for (const threads of [1, 2]) engines.set(threads, await startEngine({ device: "cpu", threads }));
});
afterAll(async () => {
  for (const engine of engines.values()) await engine.close();
});

async function learnerFor(golden: string, name: string, threads: number, recompute = false): Promise<GraphLearner> {
  const model = await openModel(join(goldenFolder(), "models", golden));
  const config = name === "full" ? undefined : { ...loraConfigurations[name]!(families.find((family) => family.golden === golden)!), loraDropout: 0.2 };
  const method = config === undefined ? full(model.inventory) : lora(config, model.inventory, model.architecture.head);
  return await createLearner({
    engine: engines.get(threads)!,
    model,
    adapter: await newAdapter(method, model, 3),
    optimizer: ADAMW,
    maxGradNorm: 1,
    dropout: config !== undefined,
    recompute,
  });
}

/** Where four steps of two micro-batches lead. */
async function run(golden: string, name: string): Promise<LearnerState> {
  const learner = await learnerFor(golden, name, 2);
  for (let step = 0; step < 4; step++) {
    for (const micro of [0, 1]) await learner.accumulate(crowded(2 * step + micro), 1 / 504, 77 + 2 * step + micro);
    await learner.update(1e-2);
  }
  const state = await learner.save();
  await learner.close();
  return state;
}

const bits = (tensors: ReadonlyMap<string, HostTensor>): readonly (readonly [string, string])[] =>
  [...tensors].map(([name, { data }]) => [name, Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64")]);

async function gradients(learner: GraphLearner, dropoutSeed = 5): Promise<Map<string, HostTensor>> {
  const batch = crowded(1);
  await learner.accumulate(batch, 1 / batch.labelIds.length, dropoutSeed);
  const found = await learner.gradients();
  await learner.update(0);
  return found;
}

describe.each(["llama_mha_tied", "gpt2"])("%s", (golden) => {
  it.each(METHODS)("%s: twice the same bits", async (name) => {
    const [one, other] = [await run(golden, name), await run(golden, name)];
    for (const part of ["parameters", "firstMoments", "secondMoments"] as const) expect(bits(one[part])).toEqual(bits(other[part]));
  });

  it.each(METHODS)("%s: the same gradients however many threads, and with blocks recomputed", async (name) => {
    const learners = [await learnerFor(golden, name, 1), await learnerFor(golden, name, 2), await learnerFor(golden, name, 2, true)];
    const [one, two, recomputed] = (await Promise.all(learners.map((learner) => gradients(learner)))) as [
      Map<string, HostTensor>,
      Map<string, HostTensor>,
      Map<string, HostTensor>,
    ];
    for (const found of [two, recomputed]) {
      for (const [tensor, { data }] of one) {
        const largest = (data as Float32Array).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        const worst = worstExcess(found.get(tensor)!.data, data, { absolute: GRADIENT_OF_MAXIMUM * largest + 1e-12, relative: 0 });
        expect(worst.excess, `${tensor}[${worst.index}]: ${worst.actual}, one thread ${worst.expected}`).toBeLessThanOrEqual(1);
      }
    }
    for (const learner of learners) await learner.close();
  });

  it("dropout hangs on its seed and on nothing else", async () => {
    const learner = await learnerFor(golden, "lora", 2);
    const [first, other, again] = [await gradients(learner, 1), await gradients(learner, 2), await gradients(learner, 1)];
    expect(bits(again)).toEqual(bits(first));
    expect(bits(other)).not.toEqual(bits(first));
    await learner.close();
  });
});

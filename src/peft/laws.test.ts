/** What every method obeys on every family: it starts as the identity, moves its own tensors alone, and comes back from disk the same. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { casesOn, families, methodCases } from "../../test/adapter-cases.ts";
import { goldenFolder } from "../../test/golden.ts";
import { type LogitsProgram, openLogits, randomTokens, rowsOf } from "../../test/model-logits.ts";
import { stirred } from "../../test/stirred.ts";
import { GRADIENT_OF_MAXIMUM, LOGITS, worstExcess } from "../../test/tolerance.ts";
import { Random } from "../base/random.ts";
import type { HostTensor } from "../core/dtype.ts";
import type { Batch } from "../data/batch.ts";
import { openGenerator } from "../generate/generator.ts";
import { fingerprintWeights } from "../io/fingerprint.ts";
import { virtualTokensOf } from "./method.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { createLearner, type GraphLearner, type LearnerOptions } from "../train/graph-learner.ts";
import { ADAMW } from "../train/step-graph.ts";
import { type LoadedAdapter, newAdapter } from "../workbench/adapter.ts";
import { exportAdapter } from "../workbench/export-adapter.ts";
import { loadAdapter } from "../workbench/load-adapter.ts";
import { mergeAdapter } from "../workbench/merge.ts";
import { openModel, type OpenModel } from "../workbench/open-model.ts";
import { saveAdapter } from "../workbench/save-adapter.ts";

let engine: Engine;
let scratch: string;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
  scratch = await mkdtemp(join(tmpdir(), "mini-giants-peft-"));
});
afterAll(async () => {
  await engine.close();
  await rm(scratch, { recursive: true, force: true });
});

const bytesOf = (data: HostTensor["data"]): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
const sameBits = (a: HostTensor["data"], b: HostTensor["data"]): boolean => bytesOf(a).equals(bytesOf(b));

function closeLogits(actual: Float32Array, expected: Float32Array, what: string): void {
  const worst = worstExcess(actual, expected, LOGITS);
  expect(worst.excess, `${what} [${worst.index}]: ${worst.actual}, needed ${worst.expected}`).toBeLessThanOrEqual(1);
}

function closeGradients(found: ReadonlyMap<string, HostTensor>, expected: ReadonlyMap<string, HostTensor>): void {
  expect([...found.keys()]).toEqual([...expected.keys()]);
  for (const [name, { data }] of expected) {
    const largest = (data as Float32Array).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const worst = worstExcess(found.get(name)!.data, data, { absolute: GRADIENT_OF_MAXIMUM * largest + 1e-12, relative: 0 });
    expect(worst.excess, `${name}[${worst.index}]: ${worst.actual}, needed ${worst.expected}`).toBeLessThanOrEqual(1);
  }
}

const learnerOf = (options: Pick<LearnerOptions, "model" | "adapter"> & Partial<LearnerOptions>): Promise<GraphLearner> =>
  createLearner({ engine, optimizer: ADAMW, maxGradNorm: 1, ...options });

async function gradientsOf(learner: GraphLearner, ...batches: readonly Batch[]): Promise<Map<string, HostTensor>> {
  const labels = batches.reduce((sum, { labelIds }) => sum + labelIds.length, 0);
  for (const batch of batches) await learner.accumulate(batch, 1 / labels, 3);
  return await learner.gradients();
}

const cases = families.flatMap((names) => casesOn(names.golden).map((name) => ({ names, golden: names.golden, name, method: methodCases[name]! })));

describe.each(cases)("$golden with $name", ({ names, golden, name, method: { make, trainable, learningRate, startsAsIdentity } }) => {
  let model: OpenModel;
  let base: LogitsProgram;
  let baseLogits: Float32Array;
  let batch: Batch;
  /** The same texts without the method's virtual tokens. */
  let plainBatch: Batch;
  let before: readonly number[];
  let halves: readonly Batch[];
  let adapter: LoadedAdapter;
  let program: LogitsProgram;
  let learner: GraphLearner;
  beforeAll(async () => {
    model = await openModel(join(goldenFolder(), "models", golden));
    const random = Random.named(2, golden);
    const { vocabSize } = model.architecture;
    // Controls steer those methods that read one; the second example has none.
    const controls = [5, 0, 2, 7].map((length) => randomTokens(Random.named(3, golden), length, vocabSize));
    const examples = [13, 7, 10, 13].map((length, i) => ({ tokens: randomTokens(random, length, vocabSize), unlabelled: i, control: controls[i]! }));
    plainBatch = rowsOf(examples.map((example) => [example]));
    base = await openLogits(engine, model);
    baseLogits = await base.of(plainBatch);
    adapter = await newAdapter(make(model, names), model, 11);
    before = virtualTokensOf(adapter.method, model.architecture.vocabSize);
    const seen = examples.map(({ tokens, unlabelled }) => [{ tokens: [...before, ...tokens], unlabelled: before.length + unlabelled }]);
    batch = rowsOf(seen);
    halves = [rowsOf(seen.slice(0, 2)), rowsOf(seen.slice(2))];
    program = await openLogits(engine, model, adapter);
    learner = await learnerOf({ model, adapter });
  });
  afterAll(async () => {
    await learner.close();
    await program.close();
    await base.close();
  });

  /** Logits of the texts, without the rows of virtual tokens. */
  const ofTexts = (logits: Float32Array): Float32Array => {
    const V = model.architecture.vocabSize;
    const [skipped, row] = [before.length * V, batch.length * V];
    return logits.filter((_, i) => i % row >= skipped);
  };

  if (typeof startsAsIdentity === "function" ? startsAsIdentity(names) : startsAsIdentity) {
    it("starts as the identity", async () => {
      closeLogits(await program.of(batch), baseLogits, "logits");
    });
  }

  it("learns one batch by moving its own tensors alone, as many as the formula says", async () => {
    const fingerprint = await fingerprintWeights(model.files.checkpoint);
    expect(learner.trainableParameters).toBe(trainable(model, names));
    const losses: number[] = [];
    for (let step = 0; step < 6; step++) {
      losses.push((await learner.accumulate(batch, 1 / batch.labelIds.length, 0)).lossSum / batch.labelIds.length);
      await learner.update(learningRate);
    }
    expect(losses.at(-1), losses.join(" ")).toBeLessThan(0.95 * losses[0]!);
    const { parameters } = await learner.save();
    for (const [tensor, { trained }] of adapter.method.tensors) {
      expect(!sameBits(parameters.get(tensor)!.data, adapter.tensors.get(tensor)!.data), tensor).toBe(trained);
    }
    expect(await fingerprintWeights(model.files.checkpoint)).toBe(fingerprint);
    expect(sameBits(await base.of(plainBatch), baseLogits), "the bare base").toBe(true);
  });

  it("has the same gradients with blocks recomputed, and from two micro-batches as from one", async () => {
    const fresh = { parameters: stirred(adapter, 4).tensors, firstMoments: new Map(), secondMoments: new Map(), updates: 0 };
    await learner.load(fresh);
    const once = await gradientsOf(learner, batch);
    await learner.load(fresh);
    closeGradients(await gradientsOf(learner, ...halves), once);
    const recomputing = await learnerOf({ model, adapter: stirred(adapter, 4), recompute: true });
    closeGradients(await gradientsOf(recomputing, batch), once);
    await recomputing.close();
  });

  it("writes with a cache what it would write without", async () => {
    const { method } = adapter;
    const { tensors } = stirred(adapter, 6);
    const prompts = [5, 8].map((length) => randomTokens(Random.named(3, `${golden} ${length}`), length, model.architecture.vocabSize));
    const generator = await openGenerator(engine, model, { method, tensors });
    const answers = await generator.generate(prompts, { maxTokens: 12, stopTokens: [] });
    await generator.close();
    const V = model.architecture.vocabSize;
    for (const [i, prompt] of prompts.entries()) {
      const text = [...before, ...prompt, ...answers[i]!];
      const logits = await program.of(rowsOf([[{ tokens: text }]]), tensors);
      for (let at = before.length + prompt.length; at < text.length; at++) {
        const row = logits.subarray((at - 1) * V, at * V);
        const largest = row.reduce((a, b) => Math.max(a, b), -Infinity);
        expect(worstExcess([row[text[at]!]!], [largest], LOGITS).excess, `token ${at} of prompt ${i}`).toBeLessThanOrEqual(1);
      }
    }
  });

  it("comes back from its folder, and merged into the base it gives the same logits where it can be merged", async () => {
    const { method } = adapter;
    const { tensors } = stirred(adapter, 5);
    const folder = join(scratch, golden, name);
    await saveAdapter(folder, await exportAdapter(engine, { method, tensors }), model);
    const logits = await program.of(batch, tensors);
    expect(worstExcess(ofTexts(logits), baseLogits, LOGITS).excess, "the adapter counts").toBeGreaterThan(1);
    let merged = folder;
    if (method.layout !== undefined) {
      const again = await loadAdapter(folder, model);
      const reopened = await openLogits(engine, model, again);
      expect(sameBits(await reopened.of(batch), logits), "logits of what was read").toBe(true);
      await reopened.close();
      merged = join(scratch, golden, `${name} merged`);
      const merging = mergeAdapter(engine, model, again, merged);
      if (!method.merging.possible) {
        await expect(merging).rejects.toThrow(method.merging.reason);
        return;
      }
      await merging;
    }
    const whole = await openLogits(engine, await openModel(merged));
    closeLogits(await whole.of(batch), logits, "merged logits");
    await whole.close();
  });
});

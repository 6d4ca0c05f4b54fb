/** What every method obeys on every family: it starts as the identity, moves its own tensors alone, and comes back from disk the same. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configurations, families } from "../../test/adapter-cases.ts";
import { goldenFolder } from "../../test/golden.ts";
import { type LogitsProgram, openLogits, randomTokens, rowsOf } from "../../test/model-logits.ts";
import { GRADIENT_OF_MAXIMUM, LOGITS, worstExcess } from "../../test/tolerance.ts";
import { Random } from "../base/random.ts";
import { type HostTensor, floats } from "../core/dtype.ts";
import type { Batch } from "../data/batch.ts";
import { fingerprintWeights } from "../io/fingerprint.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { createLearner, type GraphLearner, type LearnerOptions } from "../train/graph-learner.ts";
import { ADAMW } from "../train/step-graph.ts";
import { type LoadedAdapter, newAdapter } from "../workbench/adapter.ts";
import { loadAdapter } from "../workbench/load-adapter.ts";
import { mergeAdapter } from "../workbench/merge.ts";
import { openModel, type OpenModel } from "../workbench/open-model.ts";
import { saveAdapter } from "../workbench/save-adapter.ts";
import { full } from "./full.ts";
import { lora } from "./lora.ts";

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
const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

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

/** Number of trained scalars by the formula: r·(in + out) per adapted layer, the outputs for DoRA, and what is trained whole. */
function trainableByFormula(model: OpenModel, name: string, golden: string): number {
  const names = families.find((family) => family.golden === golden)!;
  const config = configurations[name]!(names);
  const { inventory, architecture } = model;
  const endsWith = (path: string, part: string): boolean => path === part || path.endsWith(`.${part}`);
  const named = (path: string): boolean => Array.isArray(config.targetModules) && config.targetModules.some((part: string) => endsWith(path, part));
  const saved = (path: string): boolean => config.modulesToSave.some((part) => endsWith(path, part));
  const rankOf = (path: string): number => Object.entries(config.rankPattern).find(([part]) => endsWith(path, part))?.[1] ?? config.r;
  const linears = inventory.linears.filter(({ path }) => config.targetModules === "all-linear" || named(path));
  const head = named(architecture.head.path) ? [architecture.head] : [];
  let count = 0;
  for (const { path, spec } of [...linears, ...head]) count += rankOf(path) * (spec.inFeatures + spec.outFeatures) + (config.useDora ? spec.outFeatures : 0);
  for (const { path, rows, width } of inventory.embeddings) if (named(path)) count += config.r * (rows + width);
  for (const [parameter, shape] of inventory.parameters) {
    const module = parameter.slice(0, parameter.lastIndexOf("."));
    const bias = parameter.endsWith(".bias") && (config.bias === "all" || (config.bias === "lora_only" && linears.some(({ path }) => path === module)));
    if (saved(module) || bias) count += size(shape);
  }
  const { path, spec } = architecture.head;
  if (spec.tiedTo !== undefined && saved(path)) count += spec.inFeatures * spec.outFeatures;
  return count;
}

/** The adapter with noise on every trained tensor, so that nothing in it is zero. */
function stirred({ method, tensors }: LoadedAdapter, seed: number): LoadedAdapter {
  const stir = ({ shape, data }: HostTensor, name: string): HostTensor => {
    const random = Random.named(seed, name);
    return floats(
      shape,
      (data as Float32Array).map((value) => value + 0.05 * random.normal()),
    );
  };
  return { method, tensors: new Map([...tensors].map(([name, tensor]) => [name, method.tensors.get(name)!.trained ? stir(tensor, name) : tensor])) };
}

const learnerOf = (options: Pick<LearnerOptions, "model" | "adapter"> & Partial<LearnerOptions>): Promise<GraphLearner> =>
  createLearner({ engine, optimizer: ADAMW, maxGradNorm: 1, ...options });

async function gradientsOf(learner: GraphLearner, ...batches: readonly Batch[]): Promise<Map<string, HostTensor>> {
  const labels = batches.reduce((sum, { labelIds }) => sum + labelIds.length, 0);
  for (const batch of batches) await learner.accumulate(batch, 1 / labels, 3);
  return await learner.gradients();
}

/** Every method on a family with a tied head, and on one with biases that stores its weights turned; the main ones on all. */
const EVERYTHING = ["llama_mha_tied", "gpt2"];
const MAIN = ["lora", "dora", "full"];
const cases = families.flatMap((names) =>
  [...Object.keys(configurations), "full"]
    .filter((name) => EVERYTHING.includes(names.golden) || MAIN.includes(name))
    .map((name) => ({ names, golden: names.golden, name })),
);

describe.each(cases)("$golden with $name", ({ names, golden, name }) => {
  let model: OpenModel;
  let base: LogitsProgram;
  let baseLogits: Float32Array;
  let batch: Batch;
  let halves: readonly Batch[];
  let adapter: LoadedAdapter;
  let program: LogitsProgram;
  let learner: GraphLearner;
  beforeAll(async () => {
    model = await openModel(join(goldenFolder(), "models", golden));
    const random = Random.named(2, golden);
    const examples = [13, 7, 10, 13].map((length, i) => ({ tokens: randomTokens(random, length, model.architecture.vocabSize), unlabelled: i }));
    batch = rowsOf(examples.map((example) => [example]));
    halves = [rowsOf(examples.slice(0, 2).map((example) => [example])), rowsOf(examples.slice(2).map((example) => [example]))];
    base = await openLogits(engine, model);
    baseLogits = await base.of(batch);
    const method = name === "full" ? full(model.inventory) : lora(configurations[name]!(names), model.inventory, model.architecture.head);
    adapter = await newAdapter(method, model, 11);
    program = await openLogits(engine, model, adapter);
    learner = await learnerOf({ model, adapter });
  });
  afterAll(async () => {
    await learner.close();
    await program.close();
    await base.close();
  });

  it("starts as the identity", async () => {
    closeLogits(await program.of(batch), baseLogits, "logits");
  });

  it("learns one batch by moving its own tensors alone, as many as the formula says", async () => {
    const fingerprint = await fingerprintWeights(model.files.checkpoint);
    expect(learner.trainableParameters).toBe(name === "full" ? model.parameterCount : trainableByFormula(model, name, golden));
    const losses: number[] = [];
    for (let step = 0; step < 6; step++) {
      losses.push((await learner.accumulate(batch, 1 / batch.labelIds.length, 0)).lossSum / batch.labelIds.length);
      await learner.update(name === "full" ? 2e-3 : 1e-2);
    }
    expect(losses.at(-1), losses.join(" ")).toBeLessThan(0.95 * losses[0]!);
    const { parameters } = await learner.save();
    for (const [tensor, { trained }] of adapter.method.tensors) {
      expect(!sameBits(parameters.get(tensor)!.data, adapter.tensors.get(tensor)!.data), tensor).toBe(trained);
    }
    expect(await fingerprintWeights(model.files.checkpoint)).toBe(fingerprint);
    expect(sameBits(await base.of(batch), baseLogits), "the bare base").toBe(true);
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

  it("comes back from its folder, and merged into the base it gives the same logits", async () => {
    const { tensors } = stirred(adapter, 5);
    const folder = join(scratch, golden, name);
    await saveAdapter(folder, { method: adapter.method, tensors }, model);
    const logits = await program.of(batch, tensors);
    expect(worstExcess(logits, baseLogits, LOGITS).excess, "the adapter counts").toBeGreaterThan(1);
    let merged = folder;
    if (name !== "full") {
      const again = await loadAdapter(folder, model);
      expect([...again.tensors.keys()]).toEqual([...tensors.keys()]);
      for (const [tensor, { data }] of tensors) expect(sameBits(again.tensors.get(tensor)!.data, data), tensor).toBe(true);
      merged = join(scratch, golden, `${name} merged`);
      await mergeAdapter(engine, model, again, merged);
    }
    const whole = await openLogits(engine, await openModel(merged));
    closeLogits(await whole.of(batch), logits, "merged logits");
    await whole.close();
  });
});

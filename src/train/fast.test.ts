/** Steps with frozen layers in int8, beside exact ones. */
import { cpSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenFolder } from "../../test/golden.ts";
import { randomTokens, rowsOf } from "../../test/model-logits.ts";
import { stirred } from "../../test/stirred.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { FAST_GRADIENT, FAST_LOSS } from "../../test/tolerance.ts";
import { Random } from "../base/random.ts";
import type { HostTensor } from "../core/dtype.ts";
import { emit } from "../onnx/emit.ts";
import { lora } from "../peft/lora.ts";
import { LORA_DEFAULTS } from "../peft/lora-config.ts";
import type { Engine } from "../runtime/engine.ts";
import { largestInt8Code } from "../runtime/int8-limit.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { type LoadedAdapter, newAdapter } from "../workbench/adapter.ts";
import { openInt8Weights } from "../workbench/int8-weights.ts";
import { openModel, type OpenModel } from "../workbench/open-model.ts";
import { openQuantized } from "../workbench/quantize-model.ts";
import { createLearner, type GraphLearner } from "./graph-learner.ts";
import { ADAMW, stepGraph } from "./step-graph.ts";
import { resolveTuneOptions } from "./tune-options.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
});
afterAll(() => engine.close());

async function stirredAdapter(model: OpenModel, useDora = false): Promise<LoadedAdapter> {
  const method = lora({ ...LORA_DEFAULTS, r: 4, useDora }, model.inventory, model.architecture.head);
  return stirred(await newAdapter(method, model, 3), 5);
}

async function learnerOf(
  model: OpenModel,
  cache: string | undefined,
  options: { readonly recompute?: boolean; readonly useDora?: boolean } = {},
): Promise<GraphLearner> {
  return createLearner({
    engine,
    model,
    adapter: await stirredAdapter(model, options.useDora),
    optimizer: ADAMW,
    maxGradNorm: 1,
    recompute: options.recompute ?? false,
    ...(cache !== undefined && { int8: await openInt8Weights(model, cache) }),
  });
}

const batchFor = (model: OpenModel, seed: number): ReturnType<typeof rowsOf> =>
  rowsOf(Array.from({ length: 3 }, (_, i) => [{ tokens: randomTokens(new Random(seed + i), 24, model.architecture.vocabSize) }]));

/** Loss and gradients of one step. */
async function step(learner: GraphLearner, model: OpenModel): Promise<{ loss: number; gradients: Map<string, HostTensor> }> {
  const batch = batchFor(model, 11);
  const { lossSum } = await learner.accumulate(batch, 1 / batch.labelIds.length, 0);
  const gradients = await learner.gradients();
  await learner.close();
  return { loss: lossSum / batch.labelIds.length, gradients };
}

/** ‖a − b‖ / ‖b‖. */
function distance(a: HostTensor["data"], b: HostTensor["data"]): number {
  let [difference, norm] = [0, 0];
  b.forEach((value, i) => {
    difference += (a[i]! - value) ** 2;
    norm += value ** 2;
  });
  return Math.sqrt(difference / norm);
}

describe.each(["llama_gqa", "gpt2", "gpt_neox"])("%s", (golden) => {
  const open = (): Promise<OpenModel> => openModel(join(goldenFolder(), "models", golden));

  it.each([{}, { recompute: true }, { useDora: true }])("has the exact loss and gradients, nearly: %o", async (options) => {
    const model = await open();
    const exact = await step(await learnerOf(model, undefined, options), model);
    const fast = await step(await learnerOf(model, temporaryFolder(), options), model);
    expect(fast.loss).not.toBe(exact.loss);
    expect(Math.abs(fast.loss - exact.loss) / exact.loss).toBeLessThan(FAST_LOSS);
    for (const [name, { data }] of exact.gradients) expect(distance(fast.gradients.get(name)!.data, data), name).toBeLessThan(FAST_GRADIENT);
  });

  it("comes as near over a base in four bits", async () => {
    const model = await openQuantized(await open(), join(temporaryFolder(), "nf4"), { blockSize: 64, doubleQuant: true });
    const exact = await step(await learnerOf(model, undefined, { recompute: true }), model);
    const fast = await step(await learnerOf(model, temporaryFolder(), { recompute: true }), model);
    expect(fast.loss).not.toBe(exact.loss);
    expect(Math.abs(fast.loss - exact.loss) / exact.loss).toBeLessThan(FAST_LOSS);
    for (const [name, { data }] of exact.gradients) expect(distance(fast.gradients.get(name)!.data, data), name).toBeLessThan(FAST_GRADIENT);
  });

  it("gives the same bits twice, and after a resumption", async () => {
    const model = await open();
    const cache = temporaryFolder();
    const steps = async (learner: GraphLearner, from: number, to: number): Promise<void> => {
      for (let i = from; i < to; i++) {
        const batch = batchFor(model, i);
        await learner.accumulate(batch, 1 / batch.labelIds.length, i);
        await learner.update(1e-2);
      }
    };
    const whole = await learnerOf(model, cache);
    await steps(whole, 0, 4);
    const [half, resumed] = [await learnerOf(model, cache), await learnerOf(model, cache)];
    await steps(half, 0, 2);
    await resumed.load(await half.save());
    await steps(resumed, 2, 4);
    const [one, other] = [await whole.save(), await resumed.save()];
    for (const [name, { data }] of one.parameters) expect(other.parameters.get(name)!.data, name).toEqual(data);
    for (const learner of [whole, half, resumed]) await learner.close();
  });

  it("reads no float32 weight of a block's layers, and no code of the head", async () => {
    const model = await open();
    const int8 = await openInt8Weights(model, temporaryFolder());
    const graph = stepGraph(model.architecture, (await stirredAdapter(model)).method, { fast: true });
    const read = new Set(emit(graph, { target: "cpu", weights: int8.locate }).initializers.map(({ name }) => name));
    for (const { path } of model.inventory.linears) {
      expect(read.has(`${path}.weight`), path).toBe(false);
      expect(read.has(`${path}.weight.int8`), path).toBe(true);
    }
    expect([...read].some((name) => name.startsWith("lm_head") && name.includes("int8"))).toBe(false);
  });
});

describe("the file of codes", () => {
  const copyOfModel = (): string => {
    const folder = temporaryFolder();
    cpSync(join(goldenFolder(), "models", "llama_gqa"), folder, { recursive: true });
    return folder;
  };

  it("is made once, for one base and one range of codes", async () => {
    const folder = copyOfModel();
    const cache = join(temporaryFolder(), "deep", "cache");
    const model = await openModel(folder);
    expect((await openInt8Weights(model, cache)).made).toBe(true);
    expect((await openInt8Weights(model, cache)).made).toBe(false);
    expect((await openInt8Weights(model, cache, 63)).made).toBe(true);
    expect(readdirSync(cache)).toHaveLength(2);
    const weights = join(folder, "model.safetensors");
    const bytes = readFileSync(weights);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(weights, bytes);
    expect((await openInt8Weights(await openModel(folder), cache)).made).toBe(true);
    expect(readdirSync(cache)).toHaveLength(3);
  });

  it("takes two bytes per weight of a linear layer, and is refused when it is cut off", async () => {
    const model = await openModel(copyOfModel());
    const cache = temporaryFolder();
    const { path } = await openInt8Weights(model, cache);
    const weights = [...model.inventory.linears, model.architecture.head].reduce((sum, { spec }) => sum + spec.inFeatures * spec.outFeatures, 0);
    expect(statSync(path).size).toBeGreaterThan(2 * weights);
    truncateSync(path, statSync(path).size - 1);
    await expect(openInt8Weights(model, cache)).rejects.toThrow(path);
  });
});

it("finds the range of codes that this machine multiplies rightly", async () => {
  expect([63, 127]).toContain(await largestInt8Code(engine));
});

describe("is refused", () => {
  const given = { model: "base", data: "examples.jsonl", output: "run", compute: "fast" } as const;
  it.each([
    [{ method: "full" }, "--method full"],
    [{ device: "webgpu" }, "--device webgpu"],
  ] as const)("with %o", (more, found) => {
    const refuse = (): unknown => resolveTuneOptions({ ...given, ...more });
    expect(refuse).toThrow("--compute fast");
    expect(refuse).toThrow(found);
  });
});

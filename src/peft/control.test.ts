/** What a control branch promises beyond the laws of every method: nothing at strength 0, and that only its own control steers a text. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { families } from "../../test/adapter-cases.ts";
import { goldenFolder } from "../../test/golden.ts";
import { type Example, type LogitsProgram, openLogits, randomTokens, rowsOf } from "../../test/model-logits.ts";
import { LOGITS, worstExcess } from "../../test/tolerance.ts";
import { Random } from "../base/random.ts";
import { floats } from "../core/dtype.ts";
import { greedy, openGenerator, type Generator } from "../generate/generator.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { type LoadedAdapter, newAdapter } from "../workbench/adapter.ts";
import { openModel, type OpenModel } from "../workbench/open-model.ts";
import { control } from "./control.ts";
import { readControlConfig, writeControlConfig } from "./control-config.ts";
import { readMethod } from "./registry.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
});
afterAll(() => engine.close());

const CONFIG = { numBlocks: 2, controlLength: 16, controlDropout: 0.1 };

/** A control branch that has learned something: no tensor of it is zero, and the prompts' answers depend on it. */
async function branchOf(model: OpenModel): Promise<LoadedAdapter> {
  const { method, tensors } = await newAdapter(control(CONFIG, model.architecture, model.inventory), model, 1);
  const stirred = [...tensors].map(([name, { shape, data }]) => {
    const random = Random.named(7, name);
    return [
      name,
      floats(
        shape,
        (data as Float32Array).map((value) => value + 0.2 * random.normal()),
      ),
    ] as const;
  });
  return { method, tensors: new Map(stirred) };
}

const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

describe.each(families.map(({ golden }) => golden))("a control branch on %s", (golden) => {
  let model: OpenModel;
  let branch: LoadedAdapter;
  let base: LogitsProgram;
  let program: LogitsProgram;
  let generator: Generator;
  let V: number;
  let examples: Example[];
  beforeAll(async () => {
    model = await openModel(join(goldenFolder(), "models", golden));
    branch = await branchOf(model);
    base = await openLogits(engine, model);
    program = await openLogits(engine, model, branch);
    generator = await openGenerator(engine, model, branch);
    V = model.architecture.vocabSize;
    const random = Random.named(5, golden);
    examples = [
      [9, 5],
      [6, 0],
      [11, 12],
    ].map(([length, controlled]) => ({ tokens: randomTokens(random, length!, V), control: randomTokens(random, controlled!, V) }));
  });
  afterAll(async () => {
    await generator.close();
    await program.close();
    await base.close();
  });

  /** Logits [T*V] of one example alone in its row. */
  const alone = (example: Example, length = example.tokens.length): Promise<Float32Array> => program.of(rowsOf([[example]], { length }));

  function expectClose(actual: Float32Array, expected: Float32Array, what: string): void {
    const worst = worstExcess(actual, expected, LOGITS);
    expect(worst.excess, `${what} [${worst.index}]: ${worst.actual}, needed ${worst.expected}`).toBeLessThanOrEqual(1);
  }

  it("is the base to the bit at strength 0, and before its first step", async () => {
    const batch = rowsOf(examples.map((example) => [example]));
    const plain = bytesOf(await base.of(batch));
    expect(bytesOf(await program.of(batch, branch.tensors, 0)).equals(plain), "strength 0").toBe(true);
    const fresh = await newAdapter(branch.method, model, 1);
    expect(bytesOf(await program.of(batch, fresh.tensors, 1)).equals(plain), "zero projections").toBe(true);
    expect(bytesOf(await program.of(batch, branch.tensors, 0.5)).equals(plain), "strength ½").toBe(false);
  });

  it("gives packed examples what each has alone, and nothing to padding", async () => {
    const packed = await program.of(rowsOf([examples], { padding: 3 }));
    let at = 0;
    for (const [i, example] of examples.entries()) {
      const own = await alone(example);
      expectClose(packed.slice(at, at + own.length), own, `packed example ${i}`);
      expectClose((await alone(example, 16)).slice(0, own.length), own, `padded example ${i}`);
      at += own.length;
    }
    const [first, ...others] = examples;
    const steered = await program.of(rowsOf([[{ ...first!, control: others[1]!.control! }, ...others]], { padding: 3 }));
    const size = first!.tokens.length * V;
    expect(worstExcess(steered.slice(0, size), packed.slice(0, size), LOGITS).excess, "its own control counts").toBeGreaterThan(1);
    expectClose(steered.slice(size), packed.slice(size), "another's control");
  });

  it("writes with its cache what it would write without, for every control and strength on one open program", async () => {
    for (const strength of [1, 0.4, 0]) {
      for (const steering of [examples, examples.toReversed()]) {
        const prompts = examples.map(({ tokens }) => tokens.slice(0, 5));
        const controls = { tokens: steering.map((example) => example.control!), strength };
        const options = { maxTokens: 5, stopTokens: [] };
        const together = await generator.generate(prompts, { ...options, controls });
        for (const [i, prompt] of prompts.entries()) {
          const own = { tokens: [controls.tokens[i]!], strength };
          const [answer] = await generator.generate([prompt], { ...options, controls: own });
          expect(together[i]).toEqual(answer);
          const whole = [...prompt, ...answer!];
          const logits = await program.of(rowsOf([[{ tokens: whole, control: controls.tokens[i]! }]]), branch.tensors, strength);
          const chosen = answer!.map((_, t) => greedy.next(logits.subarray((prompt.length + t - 1) * V, (prompt.length + t) * V), []));
          expect(answer, `strength ${strength}, prompt ${i}`).toEqual(chosen);
        }
      }
    }
  });
});

it("goes on with a cache only under the same control and strength", async () => {
  const model = await openModel(join(goldenFolder(), "models", "llama_gqa"));
  const branch = await branchOf(model);
  const generator = await openGenerator(engine, model, branch);
  const random = Random.named(6, "steering");
  const prompt = randomTokens(random, 12, model.architecture.vocabSize);
  const texts = [randomTokens(random, 5, model.architecture.vocabSize), randomTokens(random, 8, model.architecture.vocabSize), []];
  const options = { maxTokens: 6, stopTokens: [] };
  for (const [tokens, strength] of [
    [texts[0]!, 1],
    [texts[0]!, 1],
    [texts[1]!, 1],
    [texts[1]!, 0.3],
    [texts[2]!, 1],
    [texts[0]!, 0],
  ] as const) {
    const controls = { tokens: [tokens], strength };
    const fresh = await openGenerator(engine, model, branch);
    const [expected] = await fresh.generate([prompt], { ...options, controls });
    await fresh.close();
    expect((await generator.generate([prompt], { ...options, controls }))[0]).toEqual(expected);
  }
  const bare = await openGenerator(engine, model);
  const [plain] = await bare.generate([prompt], options);
  expect((await generator.generate([prompt], { ...options, controls: { tokens: [texts[1]!], strength: 0 } }))[0]).toEqual(plain);
  await expect(bare.generate([prompt], { ...options, controls: { tokens: [texts[1]!], strength: 1 } })).rejects.toThrow("reads control texts");
  await bare.close();
  await generator.close();
});

describe("adapter_config.json of a control branch", () => {
  it("comes back as it was written", () => {
    expect(readControlConfig(writeControlConfig(CONFIG, "base"), "adapter_config.json")).toEqual(CONFIG);
  });

  it.each([
    ["num_blocks", 0, "num_blocks is 0, needs a positive integer"],
    ["control_length", "long", 'control_length is "long", needs a positive integer'],
    ["control_dropout", 2, "control_dropout is 2, needs a number from 0 to 1"],
    ["format", 2, "format is 2, needs 1"],
    ["strength", 0.5, "strength = 0.5 is not supported"],
  ])("with %s = %j is refused", (field, value, message) => {
    expect(() => readControlConfig({ ...writeControlConfig(CONFIG, "base"), [field]: value }, "adapter_config.json")).toThrow(message);
  });

  it("is refused on a base with fewer blocks", async () => {
    const { architecture, inventory } = await openModel(join(goldenFolder(), "models", "llama_gqa"));
    const json = writeControlConfig({ ...CONFIG, numBlocks: architecture.numHiddenLayers + 1 }, "base");
    expect(() => readMethod(json, "adapter_config.json", architecture, inventory)).toThrow("needs as many in the base");
  });
});

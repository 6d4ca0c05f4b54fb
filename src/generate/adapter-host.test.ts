import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenFolder } from "../../test/golden.ts";
import { openLogits, randomTokens, rowsOf } from "../../test/model-logits.ts";
import { stirred } from "../../test/stirred.ts";
import { LOGITS, worstExcess } from "../../test/tolerance.ts";
import { Random } from "../base/random.ts";
import type { HostTensor } from "../core/dtype.ts";
import { lora } from "../peft/lora.ts";
import { LORA_DEFAULTS, type LoraConfig } from "../peft/lora-config.ts";
import type { Engine, Program } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { type LoadedAdapter, newAdapter } from "../workbench/adapter.ts";
import { concatenateAdapters, sumAdapters } from "../workbench/adapter-sum.ts";
import { openModel, type OpenModel } from "../workbench/open-model.ts";
import { byteTokenizer } from "../../test/byte-tokenizer.ts";
import { openGenerator } from "./generator.ts";
import { AdapterHost, type AdapterSelection } from "./adapter-host.ts";

const SMALL = { ...LORA_DEFAULTS, r: 4, loraAlpha: 8 };

let engine: Engine;
let model: OpenModel;
let tokenizer: Tokenizer;
/** Logits of every run, as they come from the device. */
const heard: Float32Array[] = [];
/** What is on the device, counted at the engine's door. */
const counted = { programs: 0, residents: 0 };
let counting: Engine;

/** An engine that counts what is open. */
function counter(inner: Engine): Engine {
  const keep = (results: Record<string, unknown>): void => void (counted.residents += Object.values(results).filter((each) => "id" in (each as object)).length);
  return {
    device: inner.device,
    threads: inner.threads,
    download: (tensor) => inner.download(tensor),
    close: () => inner.close(),
    async open(bytes, options) {
      const program: Program = await inner.open(bytes, options);
      counted.programs++;
      return {
        inputNames: program.inputNames,
        outputNames: program.outputNames,
        async run(feeds, fetches) {
          const results = await program.run(feeds, fetches);
          keep(results);
          if ("logits" in results) heard.push((results["logits"] as HostTensor).data as Float32Array);
          return results;
        },
        async close() {
          counted.programs--;
          await program.close();
        },
      };
    },
    async upload(tensor) {
      counted.residents++;
      return await inner.upload(tensor);
    },
    async release(...tensors) {
      counted.residents -= tensors.length;
      await inner.release(...tensors);
    },
  };
}

beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
  counting = counter(engine);
  model = await openModel(join(goldenFolder(), "models", "llama_mha_tied"));
  tokenizer = byteTokenizer();
});
afterAll(() => engine.close());

async function adapterOf(config: Partial<LoraConfig>, seed: number): Promise<LoadedAdapter> {
  return stirred(await newAdapter(lora({ ...SMALL, ...config }, model.inventory, model.architecture.head), model, seed), seed);
}

const batch = rowsOf([[{ tokens: randomTokens(new Random(3), 12, 90) }], [{ tokens: randomTokens(new Random(4), 9, 90) }]]);

async function logitsOf(adapter?: LoadedAdapter): Promise<Float32Array> {
  const program = await openLogits(engine, model, adapter);
  const logits = await program.of(batch);
  await program.close();
  return logits;
}

function expectClose(actual: Float32Array, expected: Float32Array): void {
  const worst = worstExcess(actual, expected, LOGITS);
  expect(worst.excess, `[${worst.index}]: ${worst.actual}, needed ${worst.expected}`).toBeLessThanOrEqual(1);
}

const differs = (a: Float32Array, b: Float32Array): boolean => worstExcess(a, b, LOGITS).excess > 1;

const named = (name: string, adapter: LoadedAdapter, weight: number): { name: string; adapter: LoadedAdapter; weight: number } => ({ name, adapter, weight });

describe("a sum of adapters", () => {
  it("with weights 1 and 0 is the first alone, and 0.5 twice of the same is that one", async () => {
    const [a, b] = [await adapterOf({}, 1), await adapterOf({ r: 2, targetModules: ["q_proj", "embed_tokens"], useRslora: true }, 2)];
    const alone = await logitsOf(a);
    expect(differs(alone, await logitsOf()), "the adapter counts").toBe(true);
    expectClose(await logitsOf(sumAdapters([named("a", a, 1), named("b", b, 0)])), alone);
    expectClose(await logitsOf(sumAdapters([named("a", a, 0.5), named("again", a, 0.5)])), alone);
    expect(differs(await logitsOf(sumAdapters([named("a", a, 1), named("b", b, 1)])), alone), "the second counts").toBe(true);
  });

  it("is the same as one LoRA of all ranks", async () => {
    const parts = [
      named("a", await adapterOf({ targetModules: ["q_proj", "down_proj"], rankPattern: { down_proj: 2 }, alphaPattern: { q_proj: 3 } }, 1), 0.7),
      named("b", await adapterOf({ targetModules: ["q_proj", "embed_tokens", "lm_head"], r: 3, useRslora: true }, 2), -0.4),
    ];
    expectClose(await logitsOf(await concatenateAdapters(parts, model)), await logitsOf(sumAdapters(parts)));
  });

  it.each([
    ["DoRA", { useDora: true }, /b cannot be weighted or summed with others: DoRA divides by the norm/],
    ["whole modules", { modulesToSave: ["lm_head"] }, /b cannot be .*: it holds lm_head whole/],
  ])("refuses %s with the reason", async (_, config, reason) => {
    const parts = [named("a", await adapterOf({}, 1), 1), named("b", await adapterOf(config, 2), 1)];
    expect(() => sumAdapters(parts)).toThrow(reason);
    await expect(concatenateAdapters(parts, model)).rejects.toThrow(reason);
  });
});

describe("a host", () => {
  const prompts = [randomTokens(new Random(5), 8, 90), randomTokens(new Random(6), 5, 90)];
  const options = { maxTokens: 10, greedy: true, temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };

  it("gives interleaved requests what each gets alone, from one program per graph, and frees what is unloaded", async () => {
    const before = { ...counted };
    const host = new AdapterHost(counting, model, tokenizer);
    const [a, b, c] = [await adapterOf({}, 1), await adapterOf({}, 2), await adapterOf({ useDora: true, r: 2 }, 3)];
    for (const [name, adapter] of Object.entries({ a, b, c })) await host.add(name, adapter);
    const selections: AdapterSelection[] = [
      [],
      [{ name: "a" }],
      [{ name: "b" }],
      [{ name: "c" }],
      [
        { name: "a", weight: 0.7 },
        { name: "b", weight: 0.3 },
      ],
      [
        { name: "b", weight: 2 },
        { name: "a", weight: -1 },
      ],
    ];
    const alone: number[][][] = [];
    const logitsAlone: Float32Array[][] = [];
    for (const selection of selections) {
      heard.length = 0;
      const own = new AdapterHost(counting, model, tokenizer);
      for (const { name } of selection) await own.add(name, { a, b, c }[name]!);
      alone.push([]);
      for (const prompt of prompts) alone.at(-1)!.push([...(await own.write(prompt, { ...options, adapters: selection })).tokens]);
      await own.close();
      logitsAlone.push([...heard]);
    }
    heard.length = 0;
    const bare = await openGenerator(counting, model);
    for (const [p, prompt] of prompts.entries()) expect((await bare.generate([prompt], { maxTokens: 10, stopTokens: [] }))[0], "bare").toEqual(alone[0]![p]);
    await bare.close();
    expect(heard, "the bare base has its own bits").toEqual(logitsAlone[0]);
    expect(new Set(alone.map((texts) => texts.join())).size, "every selection speaks in its own way").toBe(selections.length);
    const requests = prompts.flatMap((prompt, p) => selections.map((adapters, s) => ({ prompt, p, adapters, s })));
    // All at once: their tokens alternate on the device.
    await Promise.all(
      requests.map(async ({ prompt, p, adapters, s }) =>
        expect([...(await host.write(prompt, { ...options, adapters })).tokens], `${p} ${s}`).toEqual(alone[s]![p]),
      ),
    );
    // Writers that take turns keep caches of their own.
    const writers = await Promise.all(selections.map((selection) => host.writer(selection)));
    for (const [p, prompt] of prompts.entries()) {
      for (const [s, writer] of writers.entries()) {
        heard.length = 0;
        expect([...(await writer.write(prompt, options)).tokens], `${p} ${s}`).toEqual(alone[s]![p]);
        const from = p === 0 ? 0 : logitsAlone[s]!.length - heard.length;
        expect(heard, "to the bit").toEqual(logitsAlone[s]!.slice(from, from + heard.length));
      }
    }
    expect(host.programCount, "bare, LoRA, DoRA, sum of two").toBe(4);
    expect(counted.programs - before.programs).toBe(4);
    for (const writer of writers) await writer.close();
    expect(counted.residents - before.residents, "nothing but the adapters' tensors").toBe([a, b, c].reduce((sum, { tensors }) => sum + tensors.size, 0));
    await host.unload("a");
    expect(counted.residents - before.residents).toBe(b.tensors.size + c.tensors.size);
    expect(host.programCount, "b still speaks alone, the sums do not").toBe(3);
    await expect(host.write(prompts[0]!, { ...options, adapters: [{ name: "a" }] })).rejects.toThrow(/no adapter named a is loaded/);
    const late = await host.writer([{ name: "b" }]);
    await host.unload("b");
    expect([...(await late.write(prompts[0]!, options)).tokens], "a writer keeps what it began with").toEqual(alone[2]![0]);
    await late.close();
    expect(counted.residents - before.residents).toBe(c.tensors.size);
    expect(host.programCount).toBe(2);
    await host.close();
    expect(counted).toEqual(before);
  });

  it("refuses what cannot be", async () => {
    const host = new AdapterHost(engine, model, tokenizer);
    await host.add("a", await adapterOf({}, 1));
    await host.add("c", await adapterOf({ useDora: true }, 3));
    await expect(host.add("a", await adapterOf({}, 2))).rejects.toThrow(/a is loaded already/);
    await expect(host.writer([{ name: "a" }, { name: "a" }])).rejects.toThrow(/named twice/);
    await expect(host.writer([{ name: "a", weight: NaN }])).rejects.toThrow(/weight of a: NaN is no number/);
    await expect(host.writer([{ name: "c", weight: 0.5 }])).rejects.toThrow(/c cannot be weighted/);
    await expect(host.writer([{ name: "a" }, { name: "c" }])).rejects.toThrow(/c cannot be weighted/);
    await host.close();
  });
});

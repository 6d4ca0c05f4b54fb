/** A base in four bits: written once, used again, made anew when it is not this base's, and spoken for by the one it was made of. */
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { families } from "../../test/adapter-cases.ts";
import { goldenFolder } from "../../test/golden.ts";
import { openLogits, randomTokens, rowsOf } from "../../test/model-logits.ts";
import { LOGITS, SCORE, worstExcess } from "../../test/tolerance.ts";
import { Random } from "../base/random.ts";
import { readSafetensorsHeader } from "../io/safetensors.ts";
import { lora } from "../peft/lora.ts";
import { LORA_DEFAULTS } from "../peft/lora-config.ts";
import { dequantizeNf4, quantizeNf4 } from "../quantize/nf4.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { createLearner } from "../train/graph-learner.ts";
import { ADAMW } from "../train/step-graph.ts";
import { newAdapter } from "./adapter.ts";
import { loadAdapter } from "./load-adapter.ts";
import { mergeAdapter } from "./merge.ts";
import { openModel } from "./open-model.ts";
import { openQuantized, quantizedFolder } from "./quantize-model.ts";
import { saveAdapter } from "./save-adapter.ts";

let engine: Engine;
const scratch = mkdtempSync(join(tmpdir(), "quantize-"));
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
});
afterAll(async () => {
  await engine.close();
  rmSync(scratch, { recursive: true, force: true });
});

const EXACT = { absolute: Number.MIN_VALUE, relative: 0 };
const PLAIN = { blockSize: 64, doubleQuant: false };
const DOUBLE = { blockSize: 64, doubleQuant: true };

/** A golden base in a folder of its own. */
function copyOf(golden: string): string {
  const folder = join(scratch, golden);
  rmSync(folder, { recursive: true, force: true });
  cpSync(join(goldenFolder(), "models", golden), folder, { recursive: true });
  return folder;
}

describe.each(families)("$golden", ({ golden }) => {
  it("learns by LoRA over four bits, and its adapter speaks on either base", async () => {
    const stored = await openModel(copyOf(golden));
    const model = await openQuantized(stored, quantizedFolder(stored, DOUBLE), DOUBLE);
    expect(model.parameterCount).toBe(stored.parameterCount);
    for (const { path } of model.inventory.linears) expect(model.isPacked(`${path}.weight`), path).toBe(true);
    expect(model.isPacked(`${model.architecture.head.path}.weight`)).toBe(false);
    const random = Random.named(5, golden);
    const batch = rowsOf([12, 9].map((length) => [{ tokens: randomTokens(random, length, model.architecture.vocabSize) }]));
    const bare = await openLogits(engine, model);
    const bareLogits = await bare.of(batch);
    const adapter = await newAdapter(lora({ ...LORA_DEFAULTS, r: 4 }, model.inventory, model.architecture.head), model, 1);
    const losses: number[] = [];
    const learner = await createLearner({ engine, model, adapter, optimizer: ADAMW, maxGradNorm: 1, recompute: true });
    for (let step = 0; step < 6; step++) {
      losses.push((await learner.accumulate(batch, 1 / batch.labelIds.length, 0)).lossSum);
      await learner.update(1e-2);
    }
    expect(losses.at(-1)).toBeLessThan(0.95 * losses[0]!);
    const folder = join(scratch, `${golden}-adapter`);
    await saveAdapter(folder, { ...adapter, tensors: (await learner.save()).parameters }, model);
    await learner.close();
    for (const base of [model, stored, await openModel(stored.folder)]) {
      const loaded = await loadAdapter(folder, base);
      const program = await openLogits(engine, base, loaded);
      const logits = await program.of(batch);
      expect(worstExcess(logits, bareLogits, LOGITS).excess, "the adapter counts").toBeGreaterThan(1);
      await program.close();
      if (base !== model) continue;
      const merged = join(scratch, `${golden}-merged`);
      await mergeAdapter(engine, base, loaded, merged);
      const whole = await openLogits(engine, await openModel(merged));
      const worst = worstExcess(await whole.of(batch), logits, LOGITS);
      expect(worst.excess, `merged logits [${worst.index}]: ${worst.actual}, needed ${worst.expected}`).toBeLessThanOrEqual(1);
      await whole.close();
    }
    expect(await bare.of(batch), "the bare base").toEqual(bareLogits);
    await bare.close();
  });
});

describe("the folder of a base in four bits", () => {
  it("holds what bitsandbytes would: its names, types and values", async () => {
    const stored = await openModel(copyOf("llama_gqa"));
    for (const [options, golden] of [
      [PLAIN, "llama_gqa_nf4"],
      [DOUBLE, "llama_gqa_nf4_dq"],
    ] as const) {
      const model = await openQuantized(stored, join(scratch, golden), options);
      const [ours, theirs] = await Promise.all(
        [model.folder, join(goldenFolder(), "qlora", golden)].map(async (each) => (await readSafetensorsHeader(join(each, "model.safetensors"))).entries),
      );
      const described = (entries: typeof ours): unknown =>
        [...entries!].map(([name, { dtype, shape }]) => [name, dtype, name.includes("quant_state") ? "text" : shape]).toSorted();
      expect(described(ours)).toEqual(described(theirs));
      const reference = await openModel(join(goldenFolder(), "qlora", golden));
      for (const name of model.inventory.parameters.keys()) {
        // The mean of the magnitudes is summed in another order, where they are quantised too.
        const worst = worstExcess(await model.read(name), await reference.read(name), options.doubleQuant ? SCORE : EXACT);
        expect(worst.excess, `${name}[${worst.index}]`).toBeLessThanOrEqual(1);
      }
    }
  });

  it("is used again while it is whole and this base's, and made anew otherwise", async () => {
    const folder = copyOf("llama_gqa");
    const stored = await openModel(folder);
    const cache = quantizedFolder(stored, DOUBLE);
    await openQuantized(stored, cache, DOUBLE);
    const file = join(cache, "model.safetensors");
    const made = statSync(file).ino;
    await openQuantized(stored, cache, DOUBLE);
    expect(statSync(file).ino).toBe(made);
    const bytes = readFileSync(file);
    const whole = Buffer.from(bytes);
    bytes[bytes.length - 9]! ^= 255;
    writeFileSync(file, bytes);
    await openQuantized(stored, cache, DOUBLE);
    expect(readFileSync(file)).toEqual(whole);
    const weights = readFileSync(join(folder, "model.safetensors"));
    weights[weights.length - 3]! ^= 1;
    writeFileSync(join(folder, "model.safetensors"), weights);
    await openQuantized(await openModel(folder), cache, DOUBLE);
    expect(readFileSync(file)).not.toEqual(whole);
  });

  it("is not written over something else, and not left half-made", async () => {
    const stored = await openModel(copyOf("llama_gqa"));
    const folder = join(scratch, "taken");
    cpSync(join(goldenFolder(), "models", "gpt2"), folder, { recursive: true });
    await expect(openQuantized(stored, folder, DOUBLE)).rejects.toThrow("found other files");
    const stopping = new AbortController();
    const stopped = openQuantized(stored, join(scratch, "stopped"), {
      ...DOUBLE,
      signal: stopping.signal,
      onProgress: (done) => done > 0.3 && stopping.abort(),
    });
    await expect(stopped).rejects.toThrow("stopped while the base was quantised");
    await expect(openModel(join(scratch, "stopped"))).rejects.toThrow();
  });

  it.each([
    ["gptq", { quant_method: "gptq", bits: 4 }, 'quantization_config is "gptq" with no type'],
    ["fp4", { quant_method: "bitsandbytes", bnb_4bit_quant_type: "fp4" }, 'is "bitsandbytes" with "fp4"'],
  ])("in %s is refused", async (_name, said, message) => {
    const folder = copyOf("llama_gqa");
    const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as object;
    writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, quantization_config: said }));
    await expect(openModel(folder)).rejects.toThrow(message);
  });
});

it("reads short last blocks and odd numbers of weights", () => {
  const random = Random.named(1, "odd");
  const weights = Float32Array.from({ length: 131 }, () => random.normal());
  const back = dequantizeNf4(quantizeNf4(weights, 64), 64, new Float32Array(131));
  // The widest step between two codes is 0.304 of a block's magnitude.
  for (const [i, value] of weights.entries()) expect(Math.abs(back[i]! - value)).toBeLessThan(0.16 * 4);
});

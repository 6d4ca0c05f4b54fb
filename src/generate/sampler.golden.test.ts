/** Sampling against `transformers`' logits processors: which tokens are kept, their scores and probabilities. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenFolder, readJson } from "../../test/golden.ts";
import { PROBABILITY, SCORE, worstExcess } from "../../test/tolerance.ts";
import { readSafetensorsHeader, readTensor } from "../io/safetensors.ts";
import type { SamplingOptions } from "./sampler.ts";
import { createSampler } from "./sampler.ts";

interface Processor {
  readonly name: string;
  readonly kept: readonly number[];
  readonly order?: readonly string[];
  readonly [parameter: string]: unknown;
}

const OPTION_NAMES: Readonly<Record<string, keyof SamplingOptions>> = {
  temperature: "temperature",
  top_k: "topK",
  top_p: "topP",
  min_p: "minP",
  typical_p: "typicalP",
  epsilon_cutoff: "epsilonCutoff",
  eta_cutoff: "etaCutoff",
  repetition_penalty: "repetitionPenalty",
  no_repeat_ngram_size: "noRepeatNgram",
};

/** The options of a case: its own fields, or the steps of `order` ("top_k 20"); undefined for one that we do not know. */
function optionsOf(processor: Processor): SamplingOptions | undefined {
  const known = ["name", "cls", "kept", "order"];
  const own = Object.entries(processor).filter(([key]) => !known.includes(key));
  const steps = processor.order?.map((step) => step.split(" ")) ?? [];
  const options: Record<string, number> = {};
  for (const [key, value] of [...own, ...steps]) {
    const name = OPTION_NAMES[key as string];
    if (name === undefined) return undefined;
    options[name] = Number(value);
  }
  return options;
}

const folder = join(goldenFolder(), "sampling");

describe.runIf(existsSync(join(folder, "processors.json")))("logits processors", async () => {
  if (!existsSync(join(folder, "processors.json"))) return;
  const { input_ids, processors } = readJson<{ input_ids: number[][]; processors: Processor[] }>(folder, "processors.json");
  const { entries } = await readSafetensorsHeader(join(folder, "processors.safetensors"));
  const read = (name: string): Promise<Float32Array> | undefined => {
    const entry = entries.get(name);
    return entry && readTensor(entry);
  };
  const logits = (await read("logits"))!;
  const V = logits.length / input_ids.length;

  for (const processor of processors) {
    it(processor.name, async (context) => {
      const options = optionsOf(processor);
      if (options === undefined) {
        context.skip(`not covered: ${processor.name}: ${JSON.stringify(processor)}`);
        return;
      }
      const sampler = createSampler(options);
      const scores = new Float32Array(logits.length).fill(-1e30); // how the reference stores removed tokens
      const probabilities = new Float32Array(logits.length);
      input_ids.forEach((history, row) => {
        const tokens = sampler.candidates(logits.subarray(row * V, (row + 1) * V), history);
        expect(tokens.count).toBe(processor.kept[row]);
        for (let i = 0; i < tokens.count; i++) {
          scores[row * V + tokens.ids[i]!] = tokens.scores[i]!;
          probabilities[row * V + tokens.ids[i]!] = tokens.probabilities[i]!;
        }
      });
      const expected = await read(`${processor.name}.logits`);
      if (expected) expect(worstExcess(scores, expected, SCORE).excess).toBeLessThanOrEqual(1);
      expect(worstExcess(probabilities, (await read(`${processor.name}.probs`))!, PROBABILITY).excess).toBeLessThanOrEqual(1);
    });
  }
});

if (existsSync(join(folder, "beam_search.json"))) {
  it("beam_search", (context) => context.skip("not covered: beam_search: decoding with several beams"));
}

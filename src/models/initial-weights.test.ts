import { describe, expect, test } from "vitest";
import { takeInventory } from "./architecture.ts";
import { initialWeights, smallInit, wangInit } from "./initial-weights.ts";
import { llamaConfig, PRESETS } from "./presets.ts";
import { describeModel } from "./registry.ts";

const FACTS = { vocabSize: 4096, contextLength: 512, tieWordEmbeddings: true, bosTokenId: 0, eosTokenId: 0, initializerRange: 0.02 };
const architecture = describeModel(llamaConfig(PRESETS["1M"]!, FACTS), "test");
const { parameters } = takeInventory(architecture);

function deviation(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}

describe("first weights", () => {
  test("norms are one, matrices have the width's deviation, what writes into the stream the depth's", () => {
    for (const [name, shape] of parameters) {
      const values = initialWeights(architecture, name, shape, 1);
      if (shape.length === 1) {
        expect(new Set(values)).toEqual(new Set([1]));
        continue;
      }
      const writes = /o_proj|down_proj/.test(name);
      const wanted = writes ? wangInit(128, 4) : smallInit(128);
      // The deviation of n normal numbers has a relative deviation of 1/√2n.
      expect(Math.abs(deviation(values) / wanted - 1), name).toBeLessThan(5 / Math.sqrt(2 * values.length));
    }
  });

  test("hang on the seed and the name alone", () => {
    const [name, shape] = [...parameters].find(([, { length }]) => length === 2)!;
    const bytes = (of: string, seed: number): Buffer => Buffer.from(initialWeights(architecture, of, shape, seed).buffer);
    expect(bytes(name, 1).equals(bytes(name, 1))).toBe(true);
    expect(bytes(name, 2).equals(bytes(name, 1))).toBe(false);
    expect(bytes(`${name}.other`, 1).equals(bytes(name, 1))).toBe(false);
  });
});

describe("presets", () => {
  test.each(Object.entries(PRESETS))("%s has about so many parameters", (name, shape) => {
    // The vocabularies that the presets are usual with.
    const vocabSize = shape.hiddenSize === 576 || shape.hiddenSize === 960 ? 49152 : /^(?:15|42|110)M$/.test(name) ? 32000 : 4096;
    const made = describeModel(llamaConfig(shape, { ...FACTS, vocabSize }), name);
    const count = [...takeInventory(made).parameters.values()].reduce((sum, each) => sum + each.reduce((a, b) => a * b, 1), 0);
    const named = Number(name.slice(0, -1)) * (name.endsWith("K") ? 1e3 : 1e6);
    expect(Math.abs(count / named - 1)).toBeLessThan(0.3);
  });
});

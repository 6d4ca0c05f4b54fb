import { describe, expect, test } from "vitest";
import { atEqualLoss, inferenceAwareOptimum } from "./inference-aware.ts";
import { CHINCHILLA_ROUNDED, lossOf, optimumForParameters } from "./scaling-law.ts";

const optimum = optimumForParameters(CHINCHILLA_ROUNDED, 13e9);

describe("inference-aware sizes", () => {
  test("without use the optimum is the compute-optimal model", () => {
    expect(inferenceAwareOptimum(CHINCHILLA_ROUNDED, optimum, 0).parameters / optimum.parameters).toBeCloseTo(1, 5);
  });

  test("use makes it smaller, longer trained and cheaper in all, at the same loss", () => {
    const aware = inferenceAwareOptimum(CHINCHILLA_ROUNDED, optimum, 2e12);
    expect(aware.parameters).toBeLessThan(optimum.parameters);
    expect(aware.tokens).toBeGreaterThan(optimum.tokens);
    expect(lossOf(CHINCHILLA_ROUNDED, aware)).toBeCloseTo(lossOf(CHINCHILLA_ROUNDED, optimum), 9);
    expect(aware.totalFlops).toBeLessThan(atEqualLoss(CHINCHILLA_ROUNDED, optimum, optimum.parameters, 2e12)!.totalFlops);
    // No size near it is cheaper.
    for (const factor of [0.98, 1.02]) {
      expect(atEqualLoss(CHINCHILLA_ROUNDED, optimum, aware.parameters * factor, 2e12)!.totalFlops).toBeGreaterThan(aware.totalFlops);
    }
  });

  // Sardana et al. 2023, figure 1: over a life of 2e12 tokens a 7B model in place of a 13B one saves 1.7e22 FLOPs, 17 %.
  test("the saving of a 7B model over a 13B one is the paper's", () => {
    const law = { ...CHINCHILLA_ROUNDED, alpha: 0.336, beta: 0.283 }; // the exponents that its authors use
    const large = optimumForParameters(law, 13e9);
    const [before, after] = [atEqualLoss(law, large, 13e9, 2e12)!.totalFlops, atEqualLoss(law, large, 7e9, 2e12)!.totalFlops];
    expect((before - after) / 1e22).toBeCloseTo(1.7, 1);
    expect(1 - after / before).toBeCloseTo(0.17, 2);
  });

  test("a size that no number of tokens makes up for is none", () => {
    expect(atEqualLoss(CHINCHILLA_ROUNDED, optimum, 1e8, 0)).toBeUndefined();
  });
});

import { describe, expect, test } from "vitest";
import { FLOAT64, worstExcess } from "../../test/tolerance.ts";
import { repeatData, repeatedOptimumForFlops, repeatedOptimumForLoss } from "./repeated-data.ts";
import { BESIROGLU, lossOf, MUENNIGHOFF, optimumForFlops, trainingFlops } from "./scaling-law.ts";

describe("repeated data", () => {
  test("the losses of the two models of figure 1 are those of the paper's code", () => {
    const losses = [
      repeatData(MUENNIGHOFF, { parameters: 6.34e9, tokens: 242e9 }, 25e9).loss,
      repeatData(MUENNIGHOFF, { parameters: 8.67e9, tokens: 178e9 }, 25e9).loss,
    ];
    expect(worstExcess(losses, [2.2256440889984477, 2.2269634075087867], FLOAT64).excess).toBeLessThanOrEqual(1);
  });

  test("the best allocation for them is the one that the paper's grid search finds", () => {
    const best = repeatedOptimumForFlops(MUENNIGHOFF, trainingFlops(8.67e9, 178e9), 25e9);
    expect([Math.round(best.tokens / 1e9), best.epochs.toFixed(1), (best.parameters / 1e9).toFixed(1)]).toEqual([227, "9.1", "6.8"]);
  });

  test("with enough data nothing changes", () => {
    const optimum = optimumForFlops(BESIROGLU, 1e20);
    const { epochs, effectiveTokens, loss } = repeatData(BESIROGLU, optimum, 1e15);
    expect({ epochs, effectiveTokens, loss }).toEqual({ epochs: 1, effectiveTokens: optimum.tokens, loss: lossOf(BESIROGLU, optimum) });
    expect(repeatedOptimumForFlops(BESIROGLU, 1e20, 1e15).parameters / optimum.parameters).toBeCloseTo(1, 5);
  });

  test("with too little, the best model is smaller, reads longer and is never better than with fresh data", () => {
    const optimum = optimumForFlops(BESIROGLU, 1e20);
    const best = repeatedOptimumForFlops(BESIROGLU, 1e20, optimum.tokens / 20);
    expect(best.parameters).toBeLessThan(optimum.parameters);
    expect(best.epochs).toBeGreaterThan(20);
    expect(best.loss).toBeGreaterThan(lossOf(BESIROGLU, optimum));
    expect(best.loss).toBeLessThanOrEqual(repeatData(BESIROGLU, optimum, optimum.tokens / 20).loss);
  });

  test("a loss is reached at the least compute, or not at all", () => {
    const found = repeatedOptimumForLoss(BESIROGLU, 3.2, 1e9)!;
    expect(found.loss).toBeCloseTo(3.2, 9);
    expect(repeatedOptimumForFlops(BESIROGLU, trainingFlops(found.parameters, found.tokens) * 0.99, 1e9).loss).toBeGreaterThan(3.2);
    expect(repeatedOptimumForLoss(BESIROGLU, 3.2, 1e8)).toBeUndefined();
  });
});

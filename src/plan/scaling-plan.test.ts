import { describe, expect, test } from "vitest";
import { isoFlopCurve, planScaling, type Known, type ScalingPlan } from "./scaling-plan.ts";
import { BESIROGLU, CHINCHILLA_ROUNDED, CHINCHILLA_UNROUNDED, lossOf, trainingFlops } from "./scaling-law.ts";

const laws = [CHINCHILLA_ROUNDED, CHINCHILLA_UNROUNDED, BESIROGLU];
const plan = (known: Known, uniqueTokens?: number): ScalingPlan =>
  planScaling({ known, law: BESIROGLU, laws, ...(uniqueTokens === undefined ? {} : { uniqueTokens }) });

describe("what one figure decides", () => {
  test("the budget of Gopher, by every approach", () => {
    const { rows } = plan({ flops: 5.76e23 });
    expect(rows.map(({ id, parameters, tokens }) => [id, Math.round(parameters! / 1e9), (tokens! / 1e12).toFixed(1)])).toEqual([
      ["approach-1", 67, "1.4"],
      ["approach-2", 63, "1.5"],
      ["chinchilla", 32, "3.0"],
      ["chinchilla-unrounded", 40, "2.4"],
      ["besiroglu", 72, "1.3"],
    ]);
  });

  test.each([{ parameters: 1e9 }, { tokens: 2e10 }, { flops: 1e20 }, { loss: 2.6 }])("%j stays what it was", (known) => {
    const { rows, optimal, smaller } = plan(known);
    expect(rows).toHaveLength("loss" in known ? 3 : 5);
    expect(optimal).toEqual([]);
    for (const row of rows) {
      if (row.loss === null) expect(row.id).toMatch(/^approach-/);
      else for (const [name, value] of Object.entries(known)) expect(row[name as keyof Known]! / value, `${row.id} ${name}`).toBeCloseTo(1, 9);
    }
    expect(smaller!.inferenceAware.totalFlops).toBeLessThan(smaller!.optimum.totalFlops);
    expect(smaller!.half!.extraTraining).toBeGreaterThan(0);
  });
});

describe("what two figures decide", () => {
  test.each([
    { parameters: 1e9, tokens: 2e10 },
    { parameters: 1e9, flops: 1e20 },
    { tokens: 2e10, flops: 1e20 },
    { parameters: 1e9, loss: 2.6 },
    { tokens: 2e10, loss: 2.6 },
    { flops: 1e21, loss: 2.6 },
  ] as Known[])("%j", (known) => {
    const { rows, optimal, smaller, chosen } = plan(known);
    expect(smaller).toBeUndefined();
    for (const row of rows) for (const [name, value] of Object.entries(known)) expect(row[name as keyof Known]! / (value as number)).toBeCloseTo(1, 9);
    const best = optimal.find(({ id }) => id === "besiroglu")!;
    // The optimum costs no more for the loss, or has no more loss for the cost.
    expect(known.loss === undefined ? best.loss! <= chosen.loss! : best.flops! <= chosen.flops!).toBe(true);
  });

  test("a budget with a loss gives the smallest model that reaches it", () => {
    const { chosen } = plan({ flops: 1e21, loss: 2.6 });
    expect(lossOf(BESIROGLU, { parameters: chosen.parameters * 0.99, tokens: chosen.tokens / 0.99 })).toBeGreaterThan(2.6);
  });
});

describe("what no model meets", () => {
  test.each([
    [{ loss: 1.5 }, "--target-loss 1.5: no model reaches it; the least is above 1.69 by chinchilla"],
    [{ loss: 1.75 }, "--target-loss 1.75: no model reaches it; the least is above 1.8172 by besiroglu"],
    [{ parameters: 1e6, loss: 2 }, "--target-loss 2: no model with 1M parameters reaches it"],
    [{ tokens: 1e6, loss: 2 }, "--target-loss 2: no model with 1M tokens reaches it"],
    [{ flops: 1e18, loss: 2 }, "--target-loss 2: no model with 1e18 FLOPs reaches it; the least is above 3.4478"],
    [{ flops: 3 }, "3 FLOPs: no model is so small"],
    [{}, "0 of parameters, tokens, FLOPs and loss are given"],
    [{ parameters: 1, tokens: 1, flops: 6 }, "3 of parameters, tokens, FLOPs and loss are given"],
  ] as [Known, string][])("%j", (known, message) => {
    expect(() => plan(known)).toThrow(message);
  });

  test("a law that does not reach it stands beside those that do", () => {
    const { rows } = planScaling({ known: { loss: 1.75 }, law: CHINCHILLA_ROUNDED, laws });
    expect(rows.map(({ id, parameters }) => [id, parameters !== null])).toEqual([
      ["chinchilla", true],
      ["chinchilla-unrounded", true],
      ["besiroglu", false],
    ]);
  });
});

test("short data is repeated", () => {
  const { repeated } = plan({ loss: 3.2 }, 1e9);
  expect(repeated!.asPlanned.loss).toBeGreaterThan(3.2);
  expect(repeated!.best.loss).toBeLessThanOrEqual(repeated!.asPlanned.loss);
  expect(repeated!.forLoss!.loss).toBeCloseTo(3.2, 9);
  expect(repeated!.nearly.loss / repeated!.best.loss).toBeCloseTo(1.01, 9);
  expect(trainingFlops(repeated!.nearly.parameters, repeated!.nearly.tokens)).toBeLessThan(trainingFlops(repeated!.best.parameters, repeated!.best.tokens));
  expect(plan({ flops: 1e19 }, 1e9).repeated!.forLoss).toBeUndefined();
});

test("a curve of equal compute goes from end to end", () => {
  const curve = isoFlopCurve(BESIROGLU, 1e20, 1e8, 1e10);
  expect([curve[0]!.parameters / 1e8, curve.at(-1)!.parameters / 1e10]).toEqual([1, 1]);
});

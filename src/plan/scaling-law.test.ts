import { describe, expect, test } from "vitest";
import { MINIMUM_PLACE, PUBLISHED_OPTIMUM, PUBLISHED_TABLE, FLOAT64, worstExcess, type Tolerance } from "../../test/tolerance.ts";
import { goldenMinimum } from "./minimum.ts";
import {
  BESIROGLU,
  CHINCHILLA_ROUNDED,
  CHINCHILLA_UNROUNDED,
  frontierExponents,
  lossOf,
  optimumForFlops,
  optimumForLoss,
  optimumForParameters,
  optimumForTokens,
  parametersForLoss,
  PUBLISHED_LAWS,
  publishedLaw,
  shareOfFlops,
  tokensForLoss,
  trainingFlops,
} from "./scaling-law.ts";

const near = (actual: readonly number[], expected: readonly number[], tolerance: Tolerance): void =>
  expect(worstExcess(actual, expected, tolerance).excess).toBeLessThanOrEqual(1);

describe("laws of loss", () => {
  test("the optima at the budget of Gopher are those of the papers", () => {
    near([optimumForFlops(CHINCHILLA_UNROUNDED, 5.76e23).parameters], [40e9], PUBLISHED_OPTIMUM); // figure 4
    near([optimumForFlops(CHINCHILLA_ROUNDED, 5.76e23).parameters], [32e9], PUBLISHED_OPTIMUM);
    const { parameters, tokens } = optimumForFlops(BESIROGLU, 5.76e23);
    near([parameters, tokens], [72e9, 1.33e12], PUBLISHED_OPTIMUM);
  });

  // Table A3, approach 3. Its line of 175B prints 1.26e24, which 6·N·D = 1.26e25 shows to be a slip.
  test.each([
    [400e6, 2.21e19, 9.2e9],
    [1e9, 1.62e20, 27.1e9],
    [10e9, 2.46e22, 410.1e9],
    [67e9, 1.71e24, 4.1e12],
    [175e9, 1.26e25, 12.0e12],
    [280e9, 3.52e25, 20.1e12],
    [520e9, 1.36e26, 43.5e12],
    [1e12, 5.65e26, 94.1e12],
    [10e12, 8.55e28, 1425.5e12],
  ])("a model of %d parameters is optimal as table A3 says", (parameters, flops, tokens) => {
    const optimum = optimumForFlops(CHINCHILLA_UNROUNDED, flops);
    near([optimum.parameters, optimum.tokens], [parameters, tokens], PUBLISHED_TABLE);
  });

  test("the exponents of the line of optima are those of the papers", () => {
    expect(frontierExponents(CHINCHILLA_UNROUNDED).a).toBeCloseTo(0.46, 2); // table 2
    expect(frontierExponents(BESIROGLU).a).toBeCloseTo(0.5126, 4); // Besiroglu et al. 2024, section 3.2
  });

  test.each(PUBLISHED_LAWS)("$id: the closed optimum is the lowest place of the curve", (law) => {
    const flops = 1e21;
    const lowest = goldenMinimum((x) => lossOf(law, { parameters: Math.exp(x), tokens: shareOfFlops(flops, Math.exp(x)) }), 10, 35);
    near([Math.log(optimumForFlops(law, flops).parameters)], [lowest], MINIMUM_PLACE);
  });

  test.each(PUBLISHED_LAWS)("$id: every way to the same optimum agrees", (law) => {
    const optimum = optimumForFlops(law, 3e20);
    const loss = lossOf(law, optimum);
    expect(trainingFlops(optimum.parameters, optimum.tokens)).toBeCloseTo(3e20, -8);
    for (const other of [optimumForParameters(law, optimum.parameters), optimumForTokens(law, optimum.tokens), optimumForLoss(law, loss)!]) {
      near([Math.log(other.parameters), Math.log(other.tokens)], [Math.log(optimum.parameters), Math.log(optimum.tokens)], FLOAT64);
    }
    near([Math.log(tokensForLoss(law, optimum.parameters, loss)!)], [Math.log(optimum.tokens)], FLOAT64);
    near([Math.log(parametersForLoss(law, optimum.tokens, loss)!)], [Math.log(optimum.parameters)], FLOAT64);
  });

  test("what is out of reach is undefined", () => {
    expect(optimumForLoss(BESIROGLU, BESIROGLU.E)).toBeUndefined();
    expect(tokensForLoss(BESIROGLU, 1e6, 2)).toBeUndefined();
    expect(parametersForLoss(BESIROGLU, 1e6, 2)).toBeUndefined();
  });

  test("an unknown law is named", () => {
    expect(publishedLaw("besiroglu")).toBe(BESIROGLU);
    expect(() => publishedLaw("kaplan")).toThrow('"kaplan" is none of the laws chinchilla, ');
  });
});

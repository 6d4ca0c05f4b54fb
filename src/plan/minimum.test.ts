import { expect, test } from "vitest";
import { firstWhere, goldenMinimum } from "./minimum.ts";

test("a valley is found to half the digits of a double, ends of the range too", () => {
  expect(goldenMinimum((x) => (x - 1.25) ** 2 + 3, -100, 100)).toBeCloseTo(1.25, 6);
  expect(goldenMinimum((x) => x, 2, 5)).toBeCloseTo(2, 6);
  expect(goldenMinimum((x) => -x, 2, 5)).toBeCloseTo(5, 6);
});

test("the turn of a predicate is found, or that it never turns", () => {
  expect(firstWhere((x) => x * x >= 2, 0, 10)).toBeCloseTo(Math.SQRT2, 12);
  expect(firstWhere(() => true, 0, 10)).toBe(0);
  expect(firstWhere(() => false, 0, 10)).toBeUndefined();
});

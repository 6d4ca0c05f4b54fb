import { describe, expect, test } from "vitest";
import { MINIMUM_PLACE, worstExcess } from "../../test/tolerance.ts";
import { minimize, type Objective } from "./lbfgs.ts";

/** Rosenbrock's banana in any number of dimensions; least, 0, at all ones. */
const rosenbrock: Objective = (x, gradient) => {
  gradient.fill(0);
  let sum = 0;
  for (let i = 0; i + 1 < x.length; i++) {
    const bend = x[i + 1]! - x[i]! ** 2;
    sum += 100 * bend ** 2 + (1 - x[i]!) ** 2;
    gradient[i]! += -400 * x[i]! * bend - 2 * (1 - x[i]!);
    gradient[i + 1]! += 200 * bend;
  }
  return sum;
};

/** Beale's function; least, 0, at (3, 0.5). */
const beale: Objective = (p, gradient) => {
  const [x, y] = [p[0]!, p[1]!];
  const terms = [1.5, 2.25, 2.625].map((c, i) => c - x + x * y ** (i + 1));
  gradient[0] = terms.reduce((sum, term, i) => sum + 2 * term * (y ** (i + 1) - 1), 0);
  gradient[1] = terms.reduce((sum, term, i) => sum + 2 * term * x * (i + 1) * y ** i, 0);
  return terms.reduce((sum, term) => sum + term ** 2, 0);
};

/** A bowl whose axes differ a millionfold. */
const bowl: Objective = (x, gradient) => {
  const steepness = (i: number): number => 10 ** i;
  for (let i = 0; i < x.length; i++) gradient[i] = 2 * steepness(i) * (x[i]! - i);
  return x.reduce((sum, value, i) => sum + steepness(i) * (value - i) ** 2, 0);
};

/** Huber losses of the median of three places: nearly |x|, as the fits are. */
const nearlyAbsolute: Objective = (x, gradient) => {
  gradient[0] = 0;
  let sum = 0;
  for (const place of [-1, 2, 50]) {
    const residual = x[0]! - place;
    const slope = Math.max(-1e-3, Math.min(1e-3, residual));
    sum += slope === residual ? residual ** 2 / 2 : 1e-3 * (Math.abs(residual) - 5e-4);
    gradient[0] += slope;
  }
  return sum;
};

describe("L-BFGS", () => {
  test.each([
    ["Rosenbrock, 2", rosenbrock, [-1.2, 1], [1, 1]],
    ["Rosenbrock, 10", rosenbrock, Array.from({ length: 10 }, () => 0), Array.from({ length: 10 }, () => 1)],
    ["Beale", beale, [1, 1], [3, 0.5]],
    ["bowl", bowl, [9, 9, 9, 9, 9, 9, 9], [0, 1, 2, 3, 4, 5, 6]],
  ] as const)("%s", (_name, objective, start, place) => {
    const found = minimize(objective, Float64Array.from(start));
    expect(found.converged).toBe(true);
    expect(worstExcess(found.x, place, MINIMUM_PLACE).excess).toBeLessThanOrEqual(1);
  });

  test("a minimum between kinks", () => {
    const { x, converged } = minimize(nearlyAbsolute, Float64Array.of(1000));
    expect(converged).toBe(true);
    expect(x[0]).toBeCloseTo(2, 3); // within δ of the median
  });

  test("the values never rise, and the limit of iterations is kept", () => {
    const values = [1, 2, 5, 10, 20, 40].map((maxIterations) => minimize(rosenbrock, Float64Array.of(-1.2, 1), { maxIterations }));
    expect(values.map(({ iterations }) => iterations).slice(0, 5)).toEqual([1, 2, 5, 10, 20]);
    expect(values.slice(0, 5).every(({ converged }) => !converged)).toBe(true);
    for (let i = 1; i < values.length; i++) expect(values[i]!.value).toBeLessThanOrEqual(values[i - 1]!.value);
  });

  test("it leaves its start alone and stays at a minimum", () => {
    const start = Float64Array.of(1, 1);
    expect(minimize(rosenbrock, start)).toMatchObject({ value: 0, iterations: 0, converged: true });
    minimize(bowl, start);
    expect([...start]).toEqual([1, 1]);
  });
});

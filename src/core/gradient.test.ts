import { describe, expect, it } from "vitest";
import { buildCase, operatorCases } from "../../test/operator-cases.ts";
import { CENTRAL_DIFFERENCE, SECOND_DIFFERENCE, worstExcess } from "../../test/tolerance.ts";
import { Random } from "../base/random.ts";
import { checkpoint, gradient } from "./gradient.ts";
import { interpret, type Values } from "./interpret.ts";
import * as T from "./operations.ts";
import { evaluate } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

/** Σ y·w with random weights w that are fed: a loss whose gradient tells all elements of y apart. */
function weighted(y: Tensor, feeds: Record<string, Values>): Tensor {
  const shape = y.shape.map((dim) => evaluate(dim, SIZES));
  const random = new Random(7);
  feeds["weights"] = { shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.uniform() - 0.5) };
  return T.sumAll(T.mul(y, T.input("weights", "float32", y.shape)));
}

/** Central differences in float64 of a rank-0 loss over one fed tensor. */
function centralDifferences(loss: Tensor, feeds: Record<string, Values>, name: string): Float64Array {
  const x = feeds[name]!;
  const h = 1e-5;
  return Float64Array.from(x.data, (value, i) => {
    const at = (moved: number): number => {
      const data = x.data.slice();
      data[i] = moved;
      return interpret({ loss }, { ...feeds, [name]: { shape: x.shape, data } }).loss.data[0]!;
    };
    return (at(value + h) - at(value - h)) / (2 * h);
  });
}

const SIZES: ReadonlyMap<string, number> = new Map([
  ["B", 2],
  ["T", 3],
  ["N", 4],
  ["Q", 2],
]);

const doubles = (feeds: ReturnType<typeof buildCase>["feeds"]): Record<string, Values> =>
  Object.fromEntries(Object.entries(feeds).map(([name, { shape, data }]) => [name, { shape, data: Float64Array.from(data) }]));

describe("gradient rules agree with central differences in float64", () => {
  for (const [operator, cases] of Object.entries(operatorCases)) {
    for (const [i, operatorCase] of cases.entries()) {
      it(`${operator} ${operatorCase.name}`, () => {
        const { y, floats, feeds: singles } = buildCase(operatorCase, 100 + i);
        const feeds = doubles(singles);
        const loss = weighted(y, feeds);
        const wrt = operatorCase.differentiable ?? floats.map((_, j) => j);
        const gradients = gradient(
          loss,
          wrt.map((j) => floats[j]!),
        );
        for (const [k, j] of wrt.entries()) {
          const name = `x${j}`;
          const found = interpret({ g: gradients[k]! }, feeds).g;
          const expected = centralDifferences(loss, feeds, name);
          const worst = worstExcess(found.data, expected, CENTRAL_DIFFERENCE);
          expect(worst.excess, `${name}[${worst.index}]: rule ${worst.actual}, differences ${worst.expected}`).toBeLessThanOrEqual(1);
        }
        if (wrt.length === 0) {
          const [g] = gradient(loss, [floats[0]!]);
          expect(Array.from(interpret({ g: g! }, feeds).g.data).every((value) => Math.abs(value) === 0)).toBe(true);
        }
      });
    }
  }
});

describe("gradient", () => {
  const x = T.input("x", "float32", [3, 4]);
  const w = T.input("w", "float32", [4, 4]);
  const feeds = ((): Record<string, Values> => {
    const random = new Random(3);
    const draw = (shape: number[]): Values => ({ shape, data: Float64Array.from({ length: shape[0]! * shape[1]! }, () => random.uniform() - 0.5) });
    return { x: draw([3, 4]), w: draw([4, 4]) };
  })();
  const body = (h: Tensor): Tensor => T.add(h, T.tanh(T.matmul(T.silu(h), w)));

  it("differentiates again: the second derivative agrees with differences of the first", () => {
    const first = gradient(T.sumAll(T.exp(T.mul(x, x))), [x])[0]!;
    const again = T.sumAll(T.mul(first, first));
    const second = gradient(again, [x])[0]!;
    const worst = worstExcess(interpret({ second }, feeds).second.data, centralDifferences(again, feeds, "x"), SECOND_DIFFERENCE);
    expect(worst.excess).toBeLessThanOrEqual(1);
  });

  it("is the same with blocks recomputed, nested data flow and captured leaves included", () => {
    const loss = (wrap: (compute: (h: Tensor) => Tensor, h: Tensor) => Tensor): Tensor[] => {
      let h = T.scale(x, 2);
      for (let i = 0; i < 3; i++) h = wrap(body, h);
      return gradient(T.sumAll(T.mul(h, h)), [x, w]);
    };
    const plain = loss((compute, h) => compute(h));
    const recomputed = loss((compute, h) => checkpoint(compute, [h]));
    for (const i of [0, 1]) {
      const [a, b] = [interpret({ g: plain[i]! }, feeds).g, interpret({ g: recomputed[i]! }, feeds).g];
      expect(Array.from(b.data)).toEqual(Array.from(a.data));
    }
  });

  it("gives zeros for a tensor the loss does not depend on, and refuses a loss that is not one number", () => {
    const [g] = gradient(T.sumAll(x), [w]);
    expect(Array.from(interpret({ g: g! }, feeds).g.data).every((value) => value === 0)).toBe(true);
    expect(() => gradient(x, [x])).toThrow(/rank 0/);
  });
});

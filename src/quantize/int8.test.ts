import { describe, expect, it } from "vitest";
import { Random } from "../base/random.ts";
import { quantizeInt8 } from "./int8.ts";

const [K, N] = [7, 5];

function matrix(): Float32Array {
  const random = new Random(1);
  return Float32Array.from({ length: K * N }, (_, i) => (i % N === 2 ? 0 : random.normal()));
}

describe.each([127, 63])("codes up to %d", (largest) => {
  it("are within half a step of the weights, per column, and use the whole range", () => {
    const W = matrix();
    const { codes, scales } = quantizeInt8(W, [K, N], { largest });
    for (let i = 0; i < W.length; i++) expect(Math.abs(codes[i]! * scales[i % N]! - W[i]!)).toBeLessThanOrEqual(0.5 * scales[i % N]! * (1 + 1e-6));
    for (let n = 0; n < N; n++) {
      const column = codes.filter((_, i) => i % N === n).map(Math.abs);
      expect(column.reduce((a, b) => Math.max(a, b), 0)).toBe(n === 2 ? 0 : largest);
    }
  });

  it("are the same when the transpose is given", () => {
    const W = matrix();
    const transpose = Float32Array.from({ length: K * N }, (_, i) => W[(i % K) * N + Math.floor(i / K)]!);
    expect(quantizeInt8(transpose, [K, N], { transposed: true, largest })).toEqual(quantizeInt8(W, [K, N], { largest }));
  });
});

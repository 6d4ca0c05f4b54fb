import fc from "fast-check";
import { expect, test } from "vitest";
import { bfloatFromFloats, floatsFromBfloat, floatsFromHalf, halfFromFloats } from "./half.ts";

const every = Uint16Array.from({ length: 65536 }, (_, i) => i);

test("every half-precision number has the value of its formula", () => {
  const values = new Float32Array(65536);
  floatsFromHalf(every, values);
  for (let h = 0; h < 65536; h++) {
    const sign = h & 0x8000 ? -1 : 1;
    const exponent = (h >> 10) & 31;
    const mantissa = h & 1023;
    const expected =
      exponent === 31
        ? mantissa === 0
          ? sign * Infinity
          : NaN
        : exponent === 0
          ? sign * mantissa * 2 ** -24
          : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
    if (!Object.is(values[h], expected)) expect([h, values[h]]).toEqual([h, expected]);
  }
});

for (const [name, widen, narrow, infinity] of [
  ["half", floatsFromHalf, halfFromFloats, 0x7c00],
  ["bfloat16", floatsFromBfloat, bfloatFromFloats, 0x7f80],
] as const) {
  const values = new Float32Array(65536);
  widen(every, values);
  const isNaN16 = (bits: number): boolean => (bits & 0x7fff) > infinity;

  test(`${name}: every number survives the way there and back`, () => {
    const back = narrow(values);
    for (let h = 0; h < 65536; h++) {
      if (isNaN16(h) ? !isNaN16(back[h]!) : back[h] !== h) expect([h, back[h]]).toEqual([h, h]);
    }
  });

  test(`${name}: rounding picks the nearest, and the even one of two`, () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true }), (x) => {
        const bits = narrow(Float32Array.of(x))[0]!;
        const magnitude = bits & 0x7fff;
        // Infinity stands for the first number that no longer fits: the next power of two.
        const valueOf = (b: number): number => (b === infinity ? 2 * 2 ** Math.floor(Math.log2(values[infinity - 1]!)) : Math.abs(values[b]!));
        const error = Math.abs(Math.min(Math.abs(x), valueOf(infinity)) - valueOf(magnitude));
        for (const neighbour of [magnitude - 1, magnitude + 1]) {
          if (neighbour < 0 || neighbour > infinity) continue;
          const other = Math.abs(Math.min(Math.abs(x), valueOf(infinity)) - valueOf(neighbour));
          expect(error < other || (error === other && magnitude % 2 === 0)).toBe(true);
        }
        expect((bits & 0x8000) !== 0).toBe(Object.is(Math.sign(x), -0) || x < 0);
      }),
      { numRuns: 2000 },
    );
  });

  test(`${name}: exact ties go to the even neighbour, along the whole range`, () => {
    for (let h = 0; h < infinity - 1; h += 1) {
      const middle = (values[h]! + values[h + 1]!) / 2;
      if (Math.fround(middle) !== middle) continue;
      const rounded = narrow(Float32Array.of(middle))[0]!;
      if (rounded !== (h % 2 === 0 ? h : h + 1)) expect([h, rounded]).toEqual([h, "the even one"]);
    }
  });
}

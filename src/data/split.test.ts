import fc from "fast-check";
import { expect, test } from "vitest";
import { splitRecords } from "./split.ts";
import type { TextContent } from "./record.ts";

const texts = (values: readonly (string | number)[]): TextContent[] => values.map((value) => ({ kind: "text", text: String(value) }));

test("nothing is lost, duplicates stay together, both sides have something", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 2 })), fc.double({ min: 0.01, max: 0.99, noNaN: true }), fc.nat(), (values, fraction, seed) => {
      const records = texts(values);
      const { train, validation } = splitRecords(records, fraction, seed);
      expect(train.length + validation.length).toBe(records.length);
      const held = new Set(validation.map((record) => record.text));
      expect(train.some((record) => held.has(record.text))).toBe(false);
      if (new Set(values).size > 1) expect(Math.min(train.length, validation.length)).toBeGreaterThan(0);
    }),
  );
});

test("a record stays on its side when others come, and the seed decides", () => {
  const few = texts(Array.from({ length: 200 }, (_, i) => i));
  const more = texts(Array.from({ length: 400 }, (_, i) => i));
  const held = splitRecords(few, 0.1, 1).validation.map((record) => record.text);
  const heldOfMore = splitRecords(more, 0.1, 1).validation.map((record) => record.text);
  expect(heldOfMore.filter((text) => Number(text) < 200)).toEqual(held);
  expect(splitRecords(few, 0.1, 2).validation.map((record) => record.text)).not.toEqual(held);
  expect(splitRecords(few, 0, 1)).toEqual({ train: few, validation: [] });
});

test("the share is near the fraction", () => {
  // A binomial of 20,000 with p = 0.1 has a deviation of 42: five of them.
  const { validation } = splitRecords(texts(Array.from({ length: 20_000 }, (_, i) => i)), 0.1, 5);
  expect(Math.abs(validation.length - 2000)).toBeLessThan(212);
});

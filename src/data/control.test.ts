import { describe, expect, test } from "vitest";
import type { Batch } from "./batch.ts";
import { buildBatch, controlsKept } from "./batches.ts";
import { controlField, controlFromSystem } from "./control.ts";
import type { Example } from "./example.ts";
import type { TrainingRecord } from "./record.ts";

const record = (more: Partial<TrainingRecord>): TrainingRecord =>
  ({ kind: "messages", messages: [{ role: "user", content: "Why?" }], source: "data.jsonl", line: 3, ...more }) as TrainingRecord;

describe("a record's control", () => {
  test("is its field, where it has text", () => {
    expect(controlField({ control: "Shout.", text: "x" })).toEqual({ control: "Shout." });
    for (const value of ["a text", { text: "x" }, { control: null }, { control: " " }]) expect(controlField(value)).toEqual({});
    expect(() => controlField({ control: 5 })).toThrow("control is 5, but a text was needed");
  });

  test("is its system message where that is wanted, which leaves the prompt", () => {
    const messages = [
      { role: "system", content: "Shout." },
      { role: "user", content: "Why?" },
    ] as const;
    expect(controlFromSystem(record({ messages }))).toEqual(record({ control: "Shout." }));
    expect(controlFromSystem(record({}))).toEqual(record({}));
    expect(controlFromSystem(record({ messages: [{ role: "system", content: "" }, messages[1]] }))).toEqual(record({}));
    expect(() => controlFromSystem(record({ control: "Shout.", messages }))).toThrow("data.jsonl:3: the record has the field control");
  });
});

describe("controls of a batch", () => {
  const example = (tokens: readonly number[], control?: readonly number[]): Example => ({
    tokens: Int32Array.from(tokens),
    labels: Int32Array.from(tokens),
    source: "x",
    line: 1,
    ...(control && { control: Int32Array.from(control) }),
  });
  const examples = [example([1, 2], [11, 12, 13]), example([3, 4, 5]), example([6], [14])];
  const build = (rows: readonly (readonly number[])[], kept?: (index: number) => boolean): Batch => buildBatch(examples, { rows, length: 8 }, 99, kept);

  test("stand beside their rows with the segments of their examples", () => {
    const { control } = build([[0, 1, 2], [1]]);
    expect(control!.length).toBe(8);
    expect(Array.from(control!.tokens.subarray(0, 8))).toEqual([11, 12, 13, 14, 99, 99, 99, 99]);
    expect(Array.from(control!.segments.subarray(0, 8))).toEqual([1, 1, 1, 3, 0, 0, 0, 0]);
    expect(Array.from(control!.positions.subarray(0, 8))).toEqual([0, 1, 2, 0, 0, 0, 0, 0]);
    expect(new Set(control!.segments.slice(8))).toEqual(new Set([0]));
  });

  test("are absent where none is left", () => {
    expect(build([[1]]).control).toBeUndefined();
    expect(build([[0, 2]], () => false).control).toBeUndefined();
    expect([...build([[0, 2]], (index) => index === 2).control!.segments]).toEqual([2, 0, 0, 0, 0, 0, 0, 0]);
  });

  test("are left out at the rate that is asked for, the same ones for the same seed and epoch", () => {
    const keptOf = (rate: number, seed: number, epoch: number): boolean[] => Array.from({ length: 4000 }, (_, index) => controlsKept(rate, seed, epoch)(index));
    expect(keptOf(0.3, 1, 2)).toEqual(keptOf(0.3, 1, 2));
    expect(keptOf(0.3, 1, 3)).not.toEqual(keptOf(0.3, 1, 2));
    expect(keptOf(0.3, 2, 2)).not.toEqual(keptOf(0.3, 1, 2));
    const left = keptOf(0.3, 1, 2).filter((kept) => !kept).length / 4000;
    expect(Math.abs(left - 0.3)).toBeLessThan(4 * Math.sqrt((0.3 * 0.7) / 4000)); // four standard deviations
    expect(keptOf(0, 1, 2)).not.toContain(false);
    expect(keptOf(1, 1, 2)).not.toContain(true);
  });
});

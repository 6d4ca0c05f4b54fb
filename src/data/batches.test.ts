import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { IGNORED_LABEL } from "./batch.ts";
import { buildBatch, planEpoch, planPass } from "./batches.ts";
import type { BatchOptions, BatchPlan } from "./batches.ts";
import type { Example } from "./example.ts";
import { packBestFit } from "./packing.ts";

const PAD = 999_999;

/** Examples whose tokens are all different: token = example · 1000 + place. */
const arbitraryExamples = (maxLength: number): fc.Arbitrary<Example[]> =>
  fc.array(fc.array(fc.boolean(), { minLength: 1, maxLength }), { minLength: 1, maxLength: 60 }).map((all) =>
    all.map((flags, e): Example => {
      const tokens = Int32Array.from(flags, (_, t) => e * 1000 + t);
      return { tokens, labels: tokens.map((token, t) => (t > 0 && flags[t]! ? token : IGNORED_LABEL)), source: "x", line: e + 1 };
    }),
  );

const arbitraryOptions: fc.Arbitrary<BatchOptions> = fc.record({
  batchSize: fc.integer({ min: 1, max: 5 }),
  maxLength: fc.integer({ min: 20, max: 40 }),
  packing: fc.boolean(),
  bucket: fc.integer({ min: 1, max: 16 }),
  seed: fc.nat(),
});

function check(examples: readonly Example[], plans: readonly BatchPlan[], options: Omit<BatchOptions, "seed">): void {
  const seenTokens = new Map<number, number>();
  const seenLabels: number[] = [];
  for (const plan of plans) {
    const batch = buildBatch(examples, plan, PAD);
    expect(batch.rows).toBeLessThanOrEqual(options.batchSize);
    expect(batch.length).toBeLessThanOrEqual(options.maxLength);
    expect(batch.length % options.bucket === 0 || batch.length === options.maxLength).toBe(true);
    for (const array of [batch.tokens, batch.positions, batch.segments]) expect(array).toHaveLength(batch.rows * batch.length);
    for (let i = 0; i < batch.tokens.length; i++) {
      const token = batch.tokens[i]!;
      if (token === PAD) {
        expect([batch.segments[i], batch.positions[i]]).toEqual([0, 0]);
        continue;
      }
      seenTokens.set(token, (seenTokens.get(token) ?? 0) + 1);
      expect(batch.positions[i]).toBe(token % 1000);
      const example = examples[Math.floor(token / 1000)]!;
      expect(batch.segments[i]).toBeGreaterThan(0);
      // The example lies whole and alone in its segment: same segment exactly where it is the same example.
      if (token % 1000 > 0) expect([batch.tokens[i - 1], batch.segments[i - 1]]).toEqual([token - 1, batch.segments[i]]);
      else if (i % batch.length > 0) expect(batch.segments[i - 1]).toBe(batch.segments[i]! - 1);
      else expect(batch.segments[i]).toBe(1);
      if (!options.packing) expect(batch.segments[i]).toBe(1);
      expect(token % 1000).toBeLessThan(example.tokens.length);
    }
    expect([...batch.labelRows]).toEqual([...batch.labelRows].sort((a, b) => a - b));
    for (const [n, at] of batch.labelRows.entries()) {
      const id = batch.labelIds[n]!;
      seenLabels.push(id);
      expect(batch.tokens[at]).toBe(id - 1); // predicted by the token before it, of the same example
      expect(batch.tokens[at + 1]).toBe(id);
    }
  }
  const expected = examples.flatMap((example) => [...example.tokens]);
  expect([...seenTokens.keys()].sort((a, b) => a - b)).toEqual(expected);
  expect([...seenTokens.values()].every((count) => count === 1)).toBe(true);
  const labels = examples.flatMap((example) => [...example.labels].filter((label) => label !== IGNORED_LABEL));
  expect(seenLabels.sort((a, b) => a - b)).toEqual(labels.sort((a, b) => a - b));
}

describe("batches", () => {
  test("every token once, every label once, no segment mixed, padding apart", () => {
    fc.assert(
      fc.property(arbitraryExamples(20), arbitraryOptions, fc.nat(10), (examples, options, epoch) =>
        check(examples, planEpoch(examples, options, epoch), options),
      ),
      { numRuns: 150 },
    );
  });

  test("the same for a pass without training", () => {
    fc.assert(
      fc.property(arbitraryExamples(20), arbitraryOptions, (examples, options) => check(examples, planPass(examples, options), options)),
      { numRuns: 50 },
    );
  });

  test("the same seed and epoch give the same plan, another epoch another order", () => {
    const examples = Array.from({ length: 100 }, (_, e): Example => ({
      tokens: new Int32Array(1 + (e % 9)),
      labels: new Int32Array(1 + (e % 9)),
      source: "x",
      line: e,
    }));
    for (const packing of [false, true]) {
      const options: BatchOptions = { batchSize: 4, maxLength: 16, packing, bucket: 8, seed: 7 };
      expect(planEpoch(examples, options, 3)).toEqual(planEpoch(examples, options, 3));
      expect(planEpoch(examples, options, 3)).not.toEqual(planEpoch(examples, options, 4));
      expect(planEpoch(examples, options, 3)).not.toEqual(planEpoch(examples, { ...options, seed: 8 }, 3));
    }
  });

  test("rows of a batch are of similar length, and short batches are short", () => {
    const examples = Array.from({ length: 256 }, (_, e): Example => ({
      tokens: new Int32Array(1 + ((e * 37) % 256)),
      labels: new Int32Array(256),
      source: "x",
      line: e,
    }));
    const plans = planEpoch(examples, { batchSize: 8, maxLength: 256, packing: false, bucket: 32, seed: 1 }, 0);
    const padded = plans.reduce((sum, plan) => sum + plan.rows.length * plan.length, 0);
    const real = examples.reduce((sum, example) => sum + example.tokens.length, 0);
    expect(padded / real).toBeLessThan(1.2);
    expect(plans.map((plan) => plan.length)).not.toEqual(plans.map((plan) => plan.length).sort((a, b) => a - b));
  });

  test("an example that does not fit is our own bug", () => {
    const examples: Example[] = [{ tokens: new Int32Array(9), labels: new Int32Array(9), source: "x", line: 1 }];
    expect(() => planEpoch(examples, { batchSize: 1, maxLength: 8, packing: true, bucket: 8, seed: 1 }, 0)).toThrow(/does not fit/);
  });
});

describe("best fit", () => {
  test("every item once, no row too full, no two rows that would fit into one", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.array(fc.nat()), (capacity, sizes) => {
        const lengths = sizes.map((size) => 1 + (size % capacity));
        const items = lengths.map((_, i) => i);
        const rows = packBestFit(items, (i) => lengths[i]!, capacity);
        expect(rows.flat().sort((a, b) => a - b)).toEqual(items);
        const fills = rows.map((row) => row.reduce((sum, i) => sum + lengths[i]!, 0)).sort((a, b) => a - b);
        if (fills.length > 0) expect(fills.at(-1)).toBeLessThanOrEqual(capacity);
        if (fills.length > 1) expect(fills[0]! + fills[1]!).toBeGreaterThan(capacity);
      }),
    );
  });

  test("the fullest row with room is taken", () => {
    const lengths = [6, 5, 4, 3, 2];
    expect(packBestFit([0, 1, 2, 3, 4], (i) => lengths[i]!, 10)).toEqual([
      [0, 2],
      [1, 3, 4],
    ]);
  });
});

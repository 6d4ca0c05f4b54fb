import { describe, expect, test } from "vitest";
import { GiantError } from "../base/errors.ts";
import { checkMemory, type MemoryPlan } from "./memory-check.ts";

const parts = { weights: 1e9, trainables: 1e9, optimiser: 1e9, activations: 1e9, logits: 5e8, workspace: 5e8 };
const plan: MemoryPlan = { forecast: { peakBytes: 5e9, parts }, savings: () => [{ words: "--recompute", peakBytes: 2e9 }] };

describe("memory check", () => {
  test("what fits passes", () => {
    expect(checkMemory(plan, 5e9)).toBe(plan.forecast);
  });

  test("what does not is refused with figures and what would need less", () => {
    expect(() => checkMemory(plan, 1e9)).toThrow(GiantError);
    expect(() => checkMemory(plan, 1e9)).toThrow(/^this run would need 4\.7 GiB of memory, found 953\.7 MiB available$/);
    expect(() => checkMemory(plan, 1e9)).toThrow(expect.objectContaining({ hint: "Try --recompute (1.9 GiB); --memory-limit SIZE overrides what was found." }));
    expect(() => checkMemory({ ...plan, savings: () => [] }, 1e9)).toThrow(expect.objectContaining({ hint: expect.stringContaining("smaller model") }));
  });
});

import { describe, expect, test } from "vitest";
import { GiantError } from "../base/errors.ts";
import { checkMemory, forecastMemory, savingsOf, type MemorySetting } from "./memory-forecast.ts";

/** SmolLM2-135M with LoRA of rank 16 on all linear layers. */
const setting: MemorySetting = {
  layers: 30,
  width: 576,
  heads: 9,
  keyValueHeads: 3,
  headWidth: 64,
  feedForward: 1536,
  vocabulary: 49152,
  totalParameters: 134_515_008 + 4_884_480,
  trainableParameters: 4_884_480,
  weightBytes: 4,
  rows: 4,
  length: 256,
  labels: 1020,
  recompute: false,
  packed: false,
};

describe("memory forecast", () => {
  test("its parts add up to the peak", () => {
    const { peakBytes, parts } = forecastMemory(setting);
    expect(Object.values(parts).reduce((sum: number, bytes: number) => sum + bytes, 0)).toBe(peakBytes);
    expect(parts.weights).toBe(134_515_008 * 4);
    expect(parts.optimiser).toBe(4_884_480 * 8);
  });

  test("every advice needs less than the run it is given for", () => {
    const { peakBytes } = forecastMemory(setting);
    const savings = savingsOf({ ...setting, trainableParameters: 134_515_008, totalParameters: 134_515_008 }, 4_884_480);
    expect(savings.map((saving) => saving.words)).toEqual([
      "--batch-size 2 with twice the --gradient-accumulation",
      "--recompute",
      "--max-length 128",
      "--method lora",
    ]);
    for (const saving of savingsOf(setting)) expect(forecastMemory(saving.setting).peakBytes).toBeLessThan(peakBytes);
  });

  test("what fits passes; what does not is refused with figures", () => {
    expect(checkMemory(setting, 64e9)).toEqual(forecastMemory(setting));
    expect(() => checkMemory(setting, 1e9)).toThrow(GiantError);
    expect(() => checkMemory(setting, 1e9)).toThrow(/^this run would need \d+\.\d GiB of memory, found 953\.7 MiB available$/);
  });
});

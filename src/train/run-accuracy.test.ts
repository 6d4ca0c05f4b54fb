import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorSpread, forecastAccuracy } from "./run-accuracy.ts";

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accuracy-"));
  const run = async (name: string, report?: unknown): Promise<void> => {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, "recipe.yaml"), "model: x\n");
    if (report !== undefined) await writeFile(join(folder, name, "report.json"), typeof report === "string" ? report : JSON.stringify(report));
  };
  await run("first", { memory: { forecastBytes: 110, peakBytes: 100 }, training: { forecastSeconds: 8, seconds: 10 } });
  await run("second", { memory: { forecastBytes: null, peakBytes: 100 }, training: { seconds: 10 } });
  await run("unfinished");
  await mkdir(join(folder, "other"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe("accuracy of forecasts", () => {
  test("the runs of a folder are compared; what forecast nothing, or has not ended, is said", async () => {
    const { runs, unfinished } = await forecastAccuracy([folder]);
    expect(unfinished).toEqual([join(folder, "unfinished")]);
    expect(runs).toEqual([
      {
        folder: join(folder, "first"),
        memory: { forecast: 110, actual: 100, error: expect.closeTo(0.1, 12) },
        time: { forecast: 8, actual: 10, error: expect.closeTo(-0.2, 12) },
      },
      { folder: join(folder, "second"), memory: null, time: null },
    ]);
    expect(errorSpread(runs.map(({ memory }) => memory))).toEqual({ median: expect.closeTo(0.1, 12), largest: expect.closeTo(0.1, 12) });
    expect(errorSpread([null])).toBeUndefined();
  });

  test("a run is named by its own folder too", async () => {
    expect((await forecastAccuracy([join(folder, "first")])).runs).toHaveLength(1);
  });

  test("a folder without runs and a damaged report are refused with one line", async () => {
    await expect(forecastAccuracy([join(folder, "other")])).rejects.toThrow(/found no run, needed the folder of a run/);
    await expect(forecastAccuracy([join(folder, "absent")])).rejects.toThrow(/found no run/);
    await writeFile(join(folder, "second", "report.json"), "{");
    await expect(forecastAccuracy([folder])).rejects.toThrow(/report\.json is not JSON$/);
  });
});

/** How good the forecasts of earlier runs were: what each said beforehand beside what it was. */
import { join } from "node:path";
import { GiantError } from "../base/errors.ts";
import { kindOf, listFolder, readText } from "../io/folder.ts";
import type { Report } from "./report.ts";

export interface Compared {
  readonly forecast: number;
  readonly actual: number;
  /** forecast / actual − 1. */
  readonly error: number;
}

export interface RunAccuracy {
  readonly folder: string;
  /** Bytes. */
  readonly memory: Compared | null;
  /** Seconds of the optimiser steps. */
  readonly time: Compared | null;
}

export interface Accuracy {
  readonly runs: readonly RunAccuracy[];
  /** Folders of runs that have not finished: nothing to compare. */
  readonly unfinished: readonly string[];
}

/**
 * Compares the runs in `folders`: each is a run's folder, or holds runs' folders.
 * @throws GiantError("usage") when there is none.
 */
export async function forecastAccuracy(folders: readonly string[]): Promise<Accuracy> {
  const runs: RunAccuracy[] = [];
  const unfinished: string[] = [];
  for (const folder of folders) {
    const found = (await isRun(folder)) ? [folder] : await runsIn(folder);
    if (found.length === 0)
      throw new GiantError("usage", `${folder}: found no run, needed the folder of a run or a folder of such`, { hint: "Name them by --runs DIR,DIR." });
    for (const run of found) {
      const report = await reportOf(run);
      if (report === undefined) unfinished.push(run);
      else runs.push({ folder: run, memory: memoryOf(report), time: timeOf(report) });
    }
  }
  return { runs, unfinished };
}

/** The middle and the largest of the errors' sizes; undefined without any. */
export function errorSpread(compared: readonly (Compared | null)[]): { readonly median: number; readonly largest: number } | undefined {
  const sizes = compared.flatMap((each) => (each === null ? [] : [Math.abs(each.error)])).toSorted((a, b) => a - b);
  const [below, above] = [sizes[Math.ceil(sizes.length / 2) - 1], sizes[Math.floor(sizes.length / 2)]];
  return below === undefined || above === undefined ? undefined : { median: (below + above) / 2, largest: sizes.at(-1)! };
}

async function isRun(folder: string): Promise<boolean> {
  return (await kindOf(join(folder, "recipe.yaml"))) === "file";
}

async function runsIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  if ((await kindOf(folder)) !== "folder") return found;
  for (const name of await listFolder(folder)) if (await isRun(join(folder, name))) found.push(join(folder, name));
  return found;
}

async function reportOf(run: string): Promise<Report | undefined> {
  const file = join(run, "report.json");
  if ((await kindOf(file)) !== "file") return undefined;
  try {
    const report = JSON.parse(await readText(file)) as Partial<Report> | null;
    if (report?.memory === undefined || report.training === undefined)
      throw new GiantError("format", `${file} has no memory and training, needed the report of a run`, { hint: "The file was changed by something else." });
    return report as Report;
  } catch (cause) {
    if (cause instanceof GiantError) throw cause;
    throw new GiantError("format", `${file} is not JSON`, { hint: "The file was changed by something else.", cause });
  }
}

function memoryOf({ memory }: Report): Compared | null {
  return compared(memory.forecastBytes, memory.peakBytes);
}

function timeOf({ training }: Report): Compared | null {
  return compared(training.forecastSeconds ?? null, training.seconds);
}

function compared(forecast: number | null, actual: number): Compared | null {
  return forecast === null || actual <= 0 ? null : { forecast, actual, error: forecast / actual - 1 };
}

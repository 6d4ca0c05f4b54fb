/** Tunes by several methods on the same data, with the same seed and steps, and sets what came of it side by side. */
import { basename, join } from "node:path";
import { GiantError } from "../base/errors.ts";
import { readRecipe } from "../base/options.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { fileBytes, kindOf, listFolder, readText } from "../io/folder.ts";
import { parseJson } from "../io/json-file.ts";
import { processor } from "../runtime/processors.ts";
import { resolveComparison, COMPARE_OPTIONS, type CompareOptions } from "./compare-options.ts";
import { type Comparison, comparisonRow, type ComparisonRow, type FailedRow } from "./comparison.ts";
import type { RunOutcome } from "./conduct.ts";
import type { TrainEvent } from "./events.ts";
import { tuneApart } from "./apart.ts";
import { formatRecipe, parseRecipe } from "./recipe.ts";
import type { Report } from "./report.ts";
import { RECIPE, RunFolder } from "./run-folder.ts";
import { absolutePaths, type TuneOptions } from "./tune-options.ts";

export type ComparisonEvent =
  | { readonly type: "method"; readonly method: string; readonly number: number; readonly of: number }
  /** Something that a method's run says. */
  | { readonly type: "run"; readonly method: string; readonly event: TrainEvent }
  | { readonly type: "row"; readonly row: ComparisonRow }
  | { readonly type: "failed"; readonly row: FailedRow }
  | { readonly type: "compared"; readonly comparison: Comparison; readonly folder: string; readonly page: string };

/** Does one run; in a process of its own unless a test says otherwise. */
export type TuneOnce = (given: Partial<TuneOptions>, signal?: AbortSignal) => AsyncGenerator<TrainEvent, RunOutcome>;

export const COMPARISON_FILE = "comparison.json";

/**
 * Compares methods; each run's folder lies in `output` under the method's name. A run that fails is said and counted, and
 * the others go on; a comparison that was stopped goes on with `resume`.
 * @throws GiantError("usage") before anything runs, for options that any of the methods refuses.
 */
export async function* compare(
  given: Partial<CompareOptions>,
  signal?: AbortSignal,
  tuneOnce: TuneOnce = tuneApart,
): AsyncGenerator<ComparisonEvent, RunOutcome> {
  const { output, resume = false } = given;
  if (output === undefined) throw new GiantError("usage", "--output: needed the folder of the comparison");
  if (!resume) await RunFolder.assertFree(output);
  const { resume: _resume, ...shared } = resume ? { ...(await earlierOptions(output)), ...given } : given;
  const methods = resolveComparison(shared);
  if (!resume)
    await writeFileAtomic(join(output, RECIPE), formatRecipe(COMPARE_OPTIONS, { ...shared, ...absolutePaths(shared), compare: [...methods.keys()] }, "tune"));
  const rows: ComparisonRow[] = [];
  const failed: FailedRow[] = [];
  let [about, number]: [Pick<Comparison, "budget" | "machine"> | undefined, number] = [undefined, 0];
  for (const [method, options] of methods) {
    yield { type: "method", method, number: ++number, of: methods.size };
    const folder = join(output, method);
    const begun = (await kindOf(join(folder, "recipe.yaml"))) === "file";
    const run = tuneOnce(begun ? { output: folder, resume: true } : { ...ownOptions(shared, options), output: folder }, signal);
    try {
      const outcome = yield* relay(method, run);
      if (outcome === "stopped") return "stopped";
    } catch (error) {
      if (!(error instanceof GiantError) || error.code === "usage" || error.code === "interrupted") throw error;
      const row = { method, error: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) };
      failed.push(row);
      yield { type: "failed", row };
      continue;
    }
    const { row, ...rest } = await readRun(folder, method, options);
    rows.push(row);
    about ??= rest;
    yield { type: "row", row };
  }
  const [first] = failed;
  if (about === undefined)
    throw new GiantError("data", `no method came to an end; ${first!.method}: ${first!.error}`, first!.hint === undefined ? {} : { hint: first!.hint });
  const [options] = methods.values();
  const comparison: Comparison = { format: 1, model: options!.model, data: options!.data, seed: options!.seed, ...about, rows, failed };
  await writeFileAtomic(join(output, COMPARISON_FILE), `${JSON.stringify(comparison, null, 2)}\n`);
  const { comparisonPage } = await import("./comparison-page.ts");
  const page = join(output, "comparison.html");
  await writeFileAtomic(page, comparisonPage(comparison));
  yield { type: "compared", comparison, folder: output, page };
  return "finished";
}

/** Whether a folder holds a comparison, finished or not, and not a single run. */
export async function isComparison(folder: string): Promise<boolean> {
  return (await kindOf(join(folder, RECIPE))) === "file" && ((await earlierOptions(folder)).compare?.length ?? 0) > 0;
}

async function earlierOptions(folder: string): Promise<Partial<CompareOptions>> {
  const file = join(folder, RECIPE);
  return readRecipe(COMPARE_OPTIONS, parseRecipe(await readText(file), file), file);
}

async function* relay(method: string, run: AsyncGenerator<TrainEvent, RunOutcome>): AsyncGenerator<ComparisonEvent, RunOutcome> {
  try {
    for (;;) {
      const next = await run.next();
      if (next.done === true) return next.value;
      yield { type: "run", method, event: next.value };
    }
  } finally {
    await run.return("stopped");
  }
}

/** What one run is given: the user's own options, with the method and its rate. */
function ownOptions(
  { compare: _compare, learningRates: _rates, ...shared }: Partial<CompareOptions>,
  { method, learningRate }: TuneOptions,
): Partial<TuneOptions> {
  return { ...shared, method, learningRate };
}

async function readRun(
  folder: string,
  method: string,
  { batchSize, gradientAccumulation, learningRate }: TuneOptions,
): Promise<{ row: ComparisonRow } & Pick<Comparison, "budget" | "machine">> {
  const run = await RunFolder.open(folder);
  const file = join(folder, "report.json");
  const report = parseJson((await run.read("report.json")) ?? "", file) as Report;
  const finished = run.events.findLast((event) => event.type === "finished");
  const started = run.events.findLast((event) => event.type === "started");
  if (finished === undefined || started === undefined) throw new GiantError("format", `${folder}: found no end of the run in events.jsonl`);
  const weights = (await listFolder(finished.result)).filter((name) => name.endsWith(".safetensors"));
  const sizes = await Promise.all(weights.map((name) => fileBytes(join(finished.result, name))));
  const { train, validation } = report.data;
  return {
    row: comparisonRow(report, run.events, { method, folder: basename(folder), learningRate, resultBytes: sizes.reduce((a, b) => a + b, 0) }),
    budget: {
      steps: started.totalSteps,
      epochs: started.epochs,
      batchSize,
      gradientAccumulation,
      examples: train?.examples ?? 0,
      labelledTokens: report.training.labelledTokens,
      heldOutExamples: validation?.examples ?? 0,
      heldOutTokens: report.validation.labelledTokens,
    },
    machine: { processor: processor().model, threads: started.threads, device: started.device },
  };
}

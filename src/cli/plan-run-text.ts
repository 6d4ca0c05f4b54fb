/** Plans of runs as text: figures in tables, what does not fit said plainly. */
import { formatBytes, formatCount, formatDifference, formatDuration, formatFigure } from "../base/units.ts";
import type { InferenceCost } from "../plan/inference-cost.ts";
import type { MachineFigures } from "../plan/machine.ts";
import { type Accuracy, type Compared, errorSpread } from "../train/run-accuracy.ts";
import type { MethodRow, PlannedData, RunPlan } from "../train/run-plan.ts";
import type { RunSizes } from "../train/run-setting.ts";
import { formatTable } from "./table.ts";

/** What a plan is about. */
export interface PlanSubject {
  readonly model: string;
  readonly modelType: string;
  readonly parameterCount: number;
  readonly availableBytes: number;
  readonly machine: MachineFigures;
}

export type RunReport = PlanSubject &
  Pick<RunSizes, "batchSize" | "maxLength" | "gradientAccumulation" | "recompute"> & {
    readonly run: RunPlan;
    readonly data?: PlannedData;
    readonly methods: readonly MethodRow[];
  };

function heading({ model, modelType, parameterCount, machine }: PlanSubject): string {
  const arithmetic = `${formatFigure(machine.products.NT.flopsPerSecond / 1e9)} GFLOP/s in products`;
  const memory = `${formatFigure(machine.rowProductBytesPerSecond / 1e9)} GB/s from memory`;
  const threads = machine.device === "cpu" ? ` with ${machine.threads} thread${machine.threads === 1 ? "" : "s"}` : "";
  const figures = `${model} (${modelType}), ${formatCount(parameterCount)} parameters\n${machine.device}${threads}: ${arithmetic}, ${memory}`;
  return machine.device === "cpu" ? figures : `${figures}\nMemory is forecast for a run on the CPU; on ${machine.device} most of it lies on the device.`;
}

/** @param comparing only the table of methods is asked for. */
export function planText(report: RunReport, comparing: boolean): string {
  const { run, data, methods, availableBytes, batchSize, maxLength, gradientAccumulation, recompute } = report;
  const sizes = `${batchSize} × ${maxLength} tokens${gradientAccumulation > 1 ? `, ${gradientAccumulation} micro-batches a step` : ""}`;
  const table = formatTable([
    [`at ${sizes}`, "memory", "fits", "tokens/s"],
    ...methods.map(({ name, peakBytes, fits, tokensPerSecond }) => [name, formatBytes(peakBytes), fits ? "yes" : "no", formatFigure(tokensPerSecond)]),
  ]);
  const nothing = methods.every(({ fits }) => !fits) ? ["Nothing fits at these sizes: lower --batch-size or --max-length, or choose a smaller model."] : [];
  if (comparing) return [heading(report), `available memory: ${formatBytes(availableBytes)}`, table, ...nothing].join("\n\n");
  const { parts, peakBytes } = run.memory;
  const fitting = run.fits ? `fits into the ${formatBytes(availableBytes)} available` : `does not fit into the ${formatBytes(availableBytes)} available`;
  const memory = formatTable([
    ["memory", ""],
    ...Object.entries(parts).map(([name, bytes]) => [`  ${name}`, formatBytes(bytes as number)]),
    ["  peak", formatBytes(peakBytes)],
  ]);
  const time = [
    `time: ${formatDuration(run.secondsPerStep)} a step, ${formatFigure(run.tokensPerSecond)} tokens/s, ${formatDuration(1000 * run.secondsPerStep)} for 1000 steps`,
    ...(data
      ? [
          `${data.file}: ${data.examples} examples, ${formatCount(data.tokens)} tokens, ${formatCount(data.labelledTokens)} of them trained on; ` +
            `${data.steps} steps, about ${formatDuration(data.seconds)}`,
        ]
      : []),
  ];
  const stretch = [
    run.largestBatch === 0 ? `not even one row of ${maxLength} tokens fits` : `largest batch of ${maxLength} tokens: ${run.largestBatch}`,
    run.largestLength === 0 ? `no length fits at batch ${batchSize}` : `largest length at batch ${batchSize}: ${run.largestLength} tokens`,
  ];
  const title = `${run.method}${recompute ? " with recomputation" : ""}, ${formatCount(run.trainableParameters)} parameters trained: ${fitting}`;
  return [heading(report), `${title}\n${memory}`, time.join("\n"), stretch.join("\n"), table, ...nothing].join("\n\n");
}

export function inferenceText(about: PlanSubject, context: number, formats: readonly InferenceCost[]): string {
  const table = formatTable([
    [`writing up to ${context} tokens`, "weights", "cache", "memory", "fits", "prompt tokens/s", "tokens/s"],
    ...formats.map((cost) => [
      cost.forecastOnly ? `${cost.format} *` : cost.format,
      formatBytes(cost.weightBytes),
      formatBytes(cost.cacheBytes),
      formatBytes(cost.peakBytes),
      cost.peakBytes <= about.availableBytes ? "yes" : "no",
      formatFigure(cost.promptTokensPerSecond),
      formatFigure(cost.tokensPerSecond),
    ]),
  ]);
  return [heading(about), table, "* a forecast of a format that generation does not run in yet"].join("\n\n");
}

export function accuracyText({ runs, unfinished }: Accuracy): string {
  const cells = (compared: Compared | null, show: (value: number) => string): string[] =>
    compared === null ? ["–", "–", "–"] : [show(compared.forecast), show(compared.actual), formatDifference(compared.error)];
  const rows = runs.map(({ folder, memory, time }) => [folder, ...cells(memory, formatBytes), ...cells(time, formatDuration)]);
  const table = formatTable([["run", "memory forecast", "peak", "error", "time forecast", "steps took", "error"], ...rows]);
  const spread = (what: string, compared: readonly (Compared | null)[]): string => {
    const errors = errorSpread(compared);
    return errors === undefined ? `${what}: nothing to compare` : `${what}: median error ${percent(errors.median)}, largest ${percent(errors.largest)}`;
  };
  const summary = [
    spread(
      "memory",
      runs.map(({ memory }) => memory),
    ),
    spread(
      "time",
      runs.map(({ time }) => time),
    ),
  ];
  const missing = unfinished.length === 0 ? [] : [`not finished: ${unfinished.join(", ")}`];
  return [...(runs.length > 0 ? [table] : []), [...summary, ...missing].join("\n")].join("\n\n");
}

function percent(fraction: number): string {
  return formatDifference(fraction).slice(1);
}

/** `mini-giants plan fit FILE`: the law that finished runs follow, and how sure it is. */
import { setImmediate } from "node:timers/promises";
import { GiantError } from "../base/errors.ts";
import { formatCount, formatFigure, formatPower } from "../base/units.ts";
import type { Chart } from "../chart/chart.ts";
import { readText } from "../io/json-file.ts";
import { parseRuns } from "../plan/runs-file.ts";
import { bootstrapFits, intervalOf, type Interval } from "../plan/scaling-bootstrap.ts";
import { checkLaw, checkRuns, computeRange, fitLaw, HUBER_DELTA, isLaw, withoutLowestRatios, type LawFit, type ScalingRun } from "../plan/scaling-fit.ts";
import { frontierExponents, lossOf, optimumForFlops, trainingFlops, type LawConstants } from "../plan/scaling-law.ts";
import { isoFlopCurve } from "../plan/scaling-plan.ts";
import type { CommandContext } from "./command.ts";
import type { PlanOptions } from "./plan-options.ts";
import { giveAnswer, refuseExisting, type PlanAnswer, type PlanSection } from "./plan-sections.ts";

/** How long the fit may keep Ctrl-C waiting, in milliseconds. */
const PATIENCE = 50;

export async function runFit(options: PlanOptions, context: CommandContext, files: readonly string[]): Promise<number> {
  const [file] = files;
  if (file === undefined) throw new GiantError("usage", "plan fit needs a file of runs", { hint: "For example: mini-giants plan fit runs.csv." });
  await refuseExisting(options.output);
  const all = parseRuns(await readText(file), file, columnsOf(options));
  const runs = withoutLowestRatios(all, options.dropLowest);
  checkRuns(runs, options.dropLowest === 0 ? file : `${file} without ${options.dropLowest}`);
  const progress = await progressOn(context);
  try {
    const fit = await unblocked(fitLaw(runs), context.signal, ({ done, of }) => progress.show("fitting", done, of));
    checkLaw(fit.constants, file);
    const resampled: LawConstants[] = [];
    await unblocked(bootstrapFits(runs, fit.constants, options.resamples, options.seed), context.signal, (constants) =>
      progress.show("resamples", resampled.push(constants), options.resamples),
    );
    progress.close();
    await giveAnswer(answerOf(file, all.length, runs, fit, resampled, options), options, context);
  } finally {
    progress.close();
  }
  return 0;
}

function columnsOf({ parametersColumn, tokensColumn, flopsColumn, lossColumn }: PlanOptions): Record<string, string> {
  const named = { parameters: parametersColumn, tokens: tokensColumn, flops: flopsColumn, loss: lossColumn };
  return Object.fromEntries(Object.entries(named).flatMap(([role, name]) => (name === undefined ? [] : [[role, name]])));
}

/** Runs a long computation and lets signals come through in between; GiantError("interrupted") when one has. */
async function unblocked<T, R>(work: Generator<T, R>, signal: AbortSignal, each: (value: T) => void): Promise<R> {
  let since = performance.now();
  for (;;) {
    const next = work.next();
    if (next.done === true) return next.value;
    each(next.value);
    if (performance.now() - since < PATIENCE) continue;
    await setImmediate();
    if (signal.aborted) throw new GiantError("interrupted", "stopped; nothing was written");
    since = performance.now();
  }
}

async function progressOn({ output }: CommandContext): Promise<{ show(what: string, done: number, of: number): void; close(): void }> {
  if (!output.live) return { show: () => undefined, close: () => undefined };
  const { SingleBar } = (await import("cli-progress")).default;
  const bar = new SingleBar({ format: "{what} {bar} {value}/{total}", hideCursor: true, clearOnComplete: true });
  let current = "";
  return {
    show(what, done, of) {
      if (what === current) return bar.update(done);
      bar.stop();
      bar.start(of, done, { what });
      current = what;
    },
    close: () => bar.stop(),
  };
}

interface FittedFigure {
  readonly name: string;
  readonly of: (constants: LawConstants) => number;
  readonly write: (value: number) => string;
}

const factor = (value: number): string => (value < 1e6 ? formatFigure(value) : formatPower(value));
const four = (value: number): string => value.toFixed(4);

/** The constants and what follows from them; the last budget is what the runs reached at most. */
function figuresFor(mostFlops: number): FittedFigure[] {
  return [
    { name: "E", of: ({ E }) => E, write: four },
    { name: "A", of: ({ A }) => A, write: factor },
    { name: "B", of: ({ B }) => B, write: factor },
    { name: "α", of: ({ alpha }) => alpha, write: four },
    { name: "β", of: ({ beta }) => beta, write: four },
    { name: "a of N ∝ C^a", of: (constants) => frontierExponents(constants).a, write: four },
    { name: "b of D ∝ C^b", of: (constants) => frontierExponents(constants).b, write: four },
    ...[mostFlops, mostFlops * 10].map((flops) => ({
      name: `parameters at ${formatPower(flops)} FLOPs`,
      of: (constants: LawConstants) => optimumForFlops(constants, flops).parameters,
      write: formatCount,
    })),
  ];
}

function answerOf(
  file: string,
  read: number,
  runs: readonly ScalingRun[],
  fit: LawFit,
  resampled: readonly LawConstants[],
  { resamples, seed }: PlanOptions,
): PlanAnswer {
  const { least, most } = computeRange(runs);
  const figures = figuresFor(most);
  // A resample may lack what tells the constants apart; what has no optimum has no place in an interval, and is counted.
  const laws = resampled.filter(isLaw);
  const intervals = laws.length === 0 ? undefined : figures.map(({ of }) => intervalOf(laws, of));
  const lawless = resampled.length - laws.length;
  const between = (i: number, { low, high }: Interval): string => `${figures[i]!.write(low)} … ${figures[i]!.write(high)}`;
  const rms = Math.sqrt(fit.residuals.reduce((sum, residual) => sum + residual * residual, 0) / runs.length);
  const left = read - runs.length;
  const sections: PlanSection[] = [
    {
      title: "loss = E + A / parameters^α + B / tokens^β",
      rows: [
        ["", "fitted", ...(intervals ? ["95 % of resamples"] : [])],
        ...figures.map(({ name, of, write }, i) => [name, write(of(fit.constants)), ...(intervals ? [between(i, intervals[i]!)] : [])]),
      ],
      notes: [
        ...(lawless > 0 ? [`${lawless} of ${resampled.length} resamples show no law; the intervals are those of the others, and too narrow.`] : []),
        `${runs.length} runs of ${formatPower(least)} to ${formatPower(most)} FLOPs${left > 0 ? `; ${left} with the fewest tokens per parameter left out` : ""}. ` +
          `Root of the mean squared difference of log losses: ${formatFigure(rms)}.`,
        `The sum of Huber losses (δ = ${HUBER_DELTA}) of log loss, ${fit.objective.toExponential(4)}, is least (Hoffmann et al. 2022, section 3.3; Besiroglu et al. 2024).`,
      ],
    },
    { title: "Runs and law", chart: { chart: runsChart(runs, fit.constants, true), file: "plan.svg", terminal: runsChart(runs, fit.constants, false) } },
    { title: "What the law leaves over", chart: { chart: residualChart(runs, fit.residuals), file: "residuals.svg" } },
  ];
  const facts = {
    question: "fit",
    file,
    runs: runs.length,
    leftOut: left,
    constants: fit.constants,
    exponents: frontierExponents(fit.constants),
    objective: fit.objective,
    rootMeanSquare: rms,
    flops: { least, most },
    resamples,
    resamplesWithoutLaw: lawless,
    seed,
    ...(intervals ? { intervals: Object.fromEntries(figures.map(({ name }, i) => [name, intervals[i]])) } : {}),
    residuals: runs.map((run, i) => ({ ...run, residual: fit.residuals[i] })),
  };
  return { title: `The law of ${file}`, sections, facts };
}

/** The runs over their size, coloured by compute, with curves of equal compute and the line of optima. */
function runsChart(runs: readonly ScalingRun[], constants: LawConstants, full: boolean): Chart {
  const { least, most } = computeRange(runs);
  const sizes = runs.map(({ parameters }) => parameters);
  const [smallest, largest] = [Math.min(...sizes), Math.max(...sizes)];
  const [low, high] = [Math.min(...runs.map(({ loss }) => loss)), Math.max(...runs.map(({ loss }) => loss))];
  const onPaper = ([parameters, loss]: readonly [number, number]): boolean => parameters >= smallest && parameters <= largest && loss >= low && loss <= high;
  const along = Array.from({ length: 60 }, (_, i) => least * (most / least) ** (i / 59));
  const curves = Array.from({ length: 5 }, (_, i) => least * (most / least) ** (i / 4));
  return {
    label: "Loss of each run over its parameters, coloured by compute, with the fitted law",
    x: { label: "parameters", logarithmic: true, format: formatCount },
    y: { label: "loss, nats per token", format: (value) => value.toFixed(2) },
    layers: [
      ...(full
        ? [
            ...curves.map((flops) => ({
              kind: "line" as const,
              name: `${formatPower(flops)} FLOPs`,
              ink: "soft" as const,
              figure: flops,
              points: isoFlopCurve(constants, flops, smallest, largest)
                .map(({ parameters, loss }) => [parameters, loss] as const)
                .filter(onPaper),
            })),
            {
              kind: "line" as const,
              name: "optimal sizes",
              ink: "plain" as const,
              strong: true,
              points: along
                .map((flops) => optimumForFlops(constants, flops))
                .map((optimum) => [optimum.parameters, lossOf(constants, optimum)] as const)
                .filter(onPaper),
            },
          ]
        : []),
      {
        kind: "shaded",
        format: (flops) => `${formatPower(flops)} FLOPs`,
        points: runs.map(({ parameters, tokens, loss }) => [parameters, loss, trainingFlops(parameters, tokens)] as const),
      },
    ],
  };
}

function residualChart(runs: readonly ScalingRun[], residuals: readonly number[]): Chart {
  return {
    label: "Observed over predicted loss of each run, over its compute",
    x: { label: "FLOPs", logarithmic: true, format: formatPower },
    y: { label: "observed above predicted, percent", format: (value) => value.toFixed(1) },
    layers: [
      { kind: "level", ink: "soft", y: 0 },
      {
        kind: "shaded",
        format: (ratio) => `${formatFigure(ratio)} tokens each`,
        points: runs.map((run, i) => [trainingFlops(run.parameters, run.tokens), (Math.exp(-residuals[i]!) - 1) * 100, run.tokens / run.parameters] as const),
      },
    ],
  };
}

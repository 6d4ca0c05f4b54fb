/** A training run from beginning to end, whatever it trains: forecast, measure before, train, measure after, write the result and the report. */
import { join } from "node:path";
import { GiantError } from "../base/errors.ts";
import { type OptionTable, readRecipe, recipeDifferences, recipeOf } from "../base/options.ts";
import { stepsOf, totalStepsOf } from "./batch-source.ts";
import { folderStore, listCheckpoints, readCheckpoint, type Checkpoint } from "./checkpoint.ts";
import type { CourseOptions } from "./course-options.ts";
import type { TrainEvent } from "./events.ts";
import type { Learner } from "./learner.ts";
import type { LoopState } from "./loop-state.ts";
import { runLoop } from "./loop.ts";
import { checkMemory } from "../plan/memory-check.ts";
import { type MeasuredSpeed, measureMicroStep } from "./preflight.ts";
import { formatRecipe, parseRecipe } from "./recipe.ts";
import { buildReport } from "./report.ts";
import { RunFolder } from "./run-folder.ts";
import { warmupStepsOf, type ScheduleShape } from "./schedule.ts";
import { trainerState } from "./trainer-state.ts";
import type { RunPlatform, RunSubject } from "./run-subject.ts";

/** How a run ended: complete, or stopped by its signal and ready to be resumed. */
export type RunOutcome = "finished" | "stopped";

/** The options that steering a run needs. */
export type RunOptions = CourseOptions & { readonly output: string; readonly seed: number };

/** What runs of one verb have of their own. */
export interface RunKind<O extends RunOptions> {
  readonly verb: "tune" | "pretrain";
  readonly table: OptionTable<O>;
  /** Lays options over the defaults and checks them. */
  resolve(...layers: readonly Partial<O>[]): O;
  /** The paths among given options, made absolute. */
  absolutePaths(options: Partial<O>): Partial<O>;
  /** What the run works on, in the words of its first event. */
  describe(options: O): { readonly model: string; readonly data: string; readonly method: string };
}

/**
 * Does a run as its options say; its folder is `output`.
 *
 * With `resume` the recipe is the run's own; what `given` names besides must agree with it.
 * A run that was stopped or killed goes on from its last checkpoint to the same bits.
 */
export async function* conduct<O extends RunOptions>(
  kind: RunKind<O>,
  given: Partial<O>,
  platform: RunPlatform<O>,
  signal?: AbortSignal,
): AsyncGenerator<TrainEvent, RunOutcome> {
  const earlier = given.resume === true ? await openEarlier(kind, given) : undefined;
  const options = earlier?.options ?? kind.resolve(given);
  const finished = earlier?.run.events.findLast((event) => event.type === "finished");
  if (finished) {
    yield finished;
    return "finished";
  }
  if (!earlier) await RunFolder.assertFree(options.output);
  const subject = yield* openUnlessStopped(platform.open(options), signal);
  let run = earlier?.run;
  try {
    if (subject.train.epoch(0).length === 0) throw new GiantError("data", `${kind.describe(options).data}: found no example to train on, needed at least one`);
    const limit = options.memoryLimit ?? platform.availableMemory();
    const forecast = checkMemory(subject.memory, limit);
    if (run) await checkInputs(run, subject);
    const learner = await subject.createLearner();
    const checkpoint = run ? await lastCheckpoint(run) : undefined;
    const speed = checkpoint ? undefined : await measureMicroStep(learner, subject.train.epoch(0), () => platform.clock(), totalStepsFor(options, subject));
    // Only now, when everything that the user gave has proved usable, does the run leave a trace.
    run ??= await RunFolder.create(options.output, formatRecipe(kind.table, options, kind.verb));
    await run.write("inputs.json", `${JSON.stringify(subject.fingerprints, null, 2)}\n`);
    await subject.prepare?.(run.path);
    const conductor = new Conductor(kind, options, platform, subject, run, learner, signal);
    await run.rewindTo(checkpoint?.state ?? null);
    if (speed) yield* conductor.begin(forecast, limit, speed);
    else yield* conductor.goOn(checkpoint!);
    return yield* conductor.train(checkpoint?.state);
  } finally {
    await run?.close();
    await subject.close();
  }
}

/** Passes on what opening says; a signal ends it before anything is written. */
async function* openUnlessStopped(
  opening: Promise<RunSubject> | AsyncGenerator<TrainEvent, RunSubject>,
  signal: AbortSignal | undefined,
): AsyncGenerator<TrainEvent, RunSubject> {
  if (opening instanceof Promise) return await opening;
  let opened = false;
  try {
    for (;;) {
      const next = await opening.next();
      opened = next.done === true;
      if (next.done === true) return next.value;
      yield next.value;
      if (signal?.aborted === true) throw new GiantError("interrupted", "stopped before the run began; nothing was written");
    }
  } finally {
    // What was opened so far is closed when the caller leaves early.
    if (!opened) await opening.return(undefined as never);
  }
}

/** One run under way. */
class Conductor<O extends RunOptions> {
  readonly #options: O;
  readonly #kind: RunKind<O>;
  readonly #platform: RunPlatform<O>;
  readonly #subject: RunSubject;
  readonly #run: RunFolder;
  readonly #learner: Learner;
  readonly #signal: AbortSignal | undefined;
  readonly #schedule: ScheduleShape;

  constructor(kind: RunKind<O>, options: O, platform: RunPlatform<O>, subject: RunSubject, run: RunFolder, learner: Learner, signal: AbortSignal | undefined) {
    this.#kind = kind;
    this.#options = options;
    this.#platform = platform;
    this.#subject = subject;
    this.#run = run;
    this.#learner = learner;
    this.#signal = signal;
    const totalSteps = totalStepsFor(options, subject);
    this.#schedule = { name: options.schedule, totalSteps, warmupSteps: options.warmupSteps ?? warmupStepsOf(totalSteps, options.warmupRatio) };
  }

  /** What a new run says before its first step. */
  async *begin(forecast: ReturnType<typeof checkMemory>, availableBytes: number, speed: MeasuredSpeed): AsyncGenerator<TrainEvent> {
    const { model, data, method } = this.#kind.describe(this.#options);
    const { seed } = this.#options;
    const { device, threads, trainSummary, validationSummary, warnings } = this.#subject;
    const { trainableParameters, totalParameters } = this.#learner;
    const { totalSteps } = this.#schedule;
    const plan = this.#subject.train.epoch(0);
    const epochs = totalSteps / stepsOf(plan, this.#options.gradientAccumulation);
    yield* this.#say({ type: "started", model, data, method, device, threads, seed, trainableParameters, totalParameters, totalSteps, epochs });
    yield* this.#say({ type: "data", train: trainSummary, validation: validationSummary });
    for (const warning of warnings) yield* this.#say({ type: "warning", ...warning });
    // An update is not measured beforehand: that would change the weights.
    const secondsPerMicroStep = speed.seconds * (1 + (this.#subject.updateShare ?? 0));
    yield* this.#say({
      type: "forecast",
      ...forecast,
      availableBytes,
      microStepSeconds: speed.seconds,
      tokensPerSecond: secondsPerMicroStep > 0 ? speed.tokens / secondsPerMicroStep : 0,
      totalSeconds: secondsPerMicroStep * epochs * plan.length,
    });
    yield* this.#answer("before", 0);
  }

  /** Loads a checkpoint and says so. */
  async *goOn(checkpoint: Checkpoint): AsyncGenerator<TrainEvent> {
    await this.#learner.load(checkpoint.learner);
    const { step } = checkpoint.state;
    const { model, method } = this.#kind.describe(this.#options);
    yield* this.#say({ type: "resumed", step, checkpoint: checkpoint.folder, model, method, totalSteps: this.#schedule.totalSteps });
    if (step === 0 && !this.#run.events.some((event) => event.type === "samples")) yield* this.#answer("before", 0);
  }

  async *train(from: LoopState | undefined): AsyncGenerator<TrainEvent, RunOutcome> {
    const { learningRate, gradientAccumulation, evalSteps, saveSteps, saveTotalLimit, earlyStoppingPatience, seed } = this.#options;
    const loop = runLoop({
      learner: this.#learner,
      train: this.#subject.train,
      ...(this.#subject.validation ? { validation: this.#subject.validation } : {}),
      schedule: this.#schedule,
      learningRate,
      gradientAccumulation,
      evalSteps,
      saveSteps,
      patience: earlyStoppingPatience,
      seed,
      store: folderStore(this.#run.checkpoints, saveTotalLimit),
      clock: () => this.#platform.clock(),
      ...(this.#signal ? { signal: this.#signal } : {}),
      ...(from ? { from } : {}),
    });
    for (;;) {
      const next = await loop.next();
      if (next.done !== true) {
        yield* this.#say(next.value);
        if (next.value.type === "step" && this.#sampleIsDue(next.value.step)) yield* this.#answer("during", next.value.step);
        if (next.value.type === "checkpoint") await this.#writeTrainerState();
        continue;
      }
      const { reason, state } = next.value;
      if (reason === "stopped") return "stopped";
      yield* this.#finish(reason, state);
      return "finished";
    }
  }

  #sampleIsDue(step: number): boolean {
    const { sampleSteps = 0 } = this.#subject;
    return sampleSteps > 0 && step % sampleSteps === 0 && step < this.#schedule.totalSteps;
  }

  async *#finish(reason: "complete" | "patience", state: LoopState): AsyncGenerator<TrainEvent> {
    let keptStep = state.step;
    if (this.#options.loadBest && state.best && state.best.step !== state.step) {
      keptStep = state.best.step;
      await this.#learner.load((await readCheckpoint(this.#run.checkpoints, keptStep)).learner);
    }
    yield* this.#answer("after", keptStep);
    const result = join(this.#run.path, this.#subject.resultName);
    await this.#subject.writeResult(result);
    const report = buildReport(this.#run.events, { reason, keptStep, peakBytes: this.#platform.peakMemory() });
    await this.#writeTrainerState();
    await this.#run.write("report.json", `${JSON.stringify(report, null, 2)}\n`);
    // Loaded only here: the drawing library would cost every start.
    const { reportPage } = await import("./report-html.ts");
    const page = await this.#run.write("report.html", reportPage(report, this.#run.events));
    yield* this.#say({
      type: "finished",
      step: state.step,
      reason,
      keptStep,
      seconds: state.seconds,
      model: this.#kind.describe(this.#options).model,
      folder: this.#run.path,
      result,
      report: page,
      lossBefore: report.validation.before?.loss ?? null,
      lossAfter: report.validation.after?.loss ?? null,
      bitsPerByteBefore: report.validation.before?.bitsPerByte ?? null,
      bitsPerByteAfter: report.validation.after?.bitsPerByte ?? null,
      samples: report.samples,
      forecastBytes: report.memory.forecastBytes,
      peakBytes: report.memory.peakBytes,
      forecastSeconds: report.training.forecastSeconds,
      forecastTokensPerSecond: report.training.forecastTokensPerSecond,
      tokensPerSecond: report.training.tokensPerSecond,
    });
  }

  /** Answers the held-out prompts; not before training when the signal has come: a resumed run does it then. */
  async *#answer(when: "before" | "during" | "after", step: number): AsyncGenerator<TrainEvent> {
    const prompts = this.#subject.prompts.slice(0, this.#options.samples);
    if (prompts.length === 0 || (when === "before" && this.#signal?.aborted === true)) return;
    const answers = await this.#subject.answer(prompts, this.#options.sampleTokens);
    yield* this.#say({ type: "samples", when, step, samples: prompts.map((prompt, i) => ({ ...prompt, answer: answers[i]! })) });
  }

  async #writeTrainerState(): Promise<void> {
    const { evalSteps, saveSteps, batchSize } = this.#options;
    const epochs = this.#run.events.findLast((event) => event.type === "started")?.epochs ?? this.#options.epochs;
    const state = trainerState(this.#run.events, { maxSteps: this.#schedule.totalSteps, epochs, evalSteps, saveSteps, batchSize });
    await this.#run.write("trainer_state.json", `${JSON.stringify(state, null, 2)}\n`);
  }

  /** Records an event before anybody hears of it. */
  async *#say(event: TrainEvent): AsyncGenerator<TrainEvent> {
    await this.#run.record(event, this.#platform.now());
    yield event;
  }
}

function totalStepsFor({ maxSteps, epochs, gradientAccumulation }: RunOptions, subject: RunSubject): number {
  return maxSteps ?? subject.totalSteps ?? totalStepsOf(subject.train, epochs, gradientAccumulation);
}

/** Opens the run in `output` and refuses options that differ from its recipe. */
async function openEarlier<O extends RunOptions>(kind: RunKind<O>, given: Partial<O>): Promise<{ readonly run: RunFolder; readonly options: O }> {
  if (given.output === undefined)
    throw new GiantError("usage", "--resume: --output is missing", { hint: "Name the folder of the run to go on with by --output." });
  const run = await RunFolder.open(given.output);
  const source = join(given.output, "recipe.yaml");
  const stored = readRecipe(kind.table, parseRecipe(await run.recipe(), source), source);
  const { output, memoryLimit } = given;
  const options = kind.resolve(stored, { output, ...(memoryLimit === undefined ? {} : { memoryLimit }) } as Partial<O>);
  const now = recipeOf<O>(kind.table, { ...options, ...given, ...kind.absolutePaths(given) });
  const differences = recipeDifferences(recipeOf(kind.table, options), now);
  if (differences.length > 0) {
    throw new GiantError("usage", `${given.output}: the recipe has changed: ${differences.join("; ")}`, {
      hint: "Leave these options out to go on with the run, or start a new run in another --output.",
      facts: { differences },
    });
  }
  return { run, options };
}

/** Refuses to go on with other data or another base than the run was begun with. */
async function checkInputs(run: RunFolder, subject: RunSubject): Promise<void> {
  const stored = await run.read("inputs.json");
  if (stored === undefined) return; // Killed before anything was read.
  const differences = recipeDifferences(JSON.parse(stored) as Record<string, unknown>, subject.fingerprints);
  if (differences.length === 0) return;
  throw new GiantError("data", `${run.path}: what the run reads has changed: ${differences.join("; ")}`, {
    hint: "Restore the files as they were, or start a new run in another --output.",
    facts: { differences },
  });
}

async function lastCheckpoint(run: RunFolder): Promise<Checkpoint | undefined> {
  const step = (await listCheckpoints(run.checkpoints)).at(-1);
  return step === undefined ? undefined : await readCheckpoint(run.checkpoints, step);
}

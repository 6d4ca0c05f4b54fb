/** The training loop: a generator of events over a learner; it knows nothing of graphs, devices, files or terminals. */
import { GiantError } from "../base/errors.ts";
import { Random } from "../base/random.ts";
import type { Batch } from "../data/batch.ts";
import { bitsPerByte } from "../data/bits-per-byte.ts";
import { stepsOf, type BatchSource, type EpochPlan } from "./batch-source.ts";
import type { FinishReason, TrainEvent } from "./events.ts";
import type { Learner } from "./learner.ts";
import { notFinite } from "./not-finite.ts";
import type { CheckpointStore, LoopState } from "./loop-state.ts";
import { learningRateAt, type ScheduleShape } from "./schedule.ts";

export interface LoopOptions {
  readonly learner: Learner;
  readonly train: BatchSource;
  /** Held-out batches; evaluated before training, every `evalSteps` and at the end. */
  readonly validation?: EpochPlan;
  readonly schedule: ScheduleShape;
  /** The highest learning rate of the schedule. */
  readonly learningRate: number;
  readonly gradientAccumulation: number;
  /** 0: only before and after. */
  readonly evalSteps: number;
  /** 0: only when the best evaluation was met, at the end, and when stopped. */
  readonly saveSteps: number;
  /** Stop after this many evaluations without a better one; 0: never. */
  readonly patience: number;
  readonly seed: number;
  readonly store: CheckpointStore;
  /** A clock that never goes back, in milliseconds. */
  readonly clock: () => number;
  readonly signal?: AbortSignal;
  /** The state to go on from; the learner has been loaded with its tensors already. */
  readonly from?: LoopState;
}

/** How the loop ended. */
export interface LoopResult {
  readonly reason: FinishReason | "stopped";
  readonly state: LoopState;
}

/**
 * Trains until the schedule's last step, until patience runs out, or until the signal: then the step under way is finished and saved.
 *
 * The last thing a step does is to save, so that a checkpoint's step is complete.
 * Throws GiantError("numeric") at a loss or gradient norm that is no finite number; earlier checkpoints stay as they are.
 */
export async function* runLoop(options: LoopOptions): AsyncGenerator<TrainEvent, LoopResult> {
  const { learner, train, validation, schedule, gradientAccumulation, store, clock, signal } = options;
  const total = schedule.totalSteps;
  let state: LoopState = options.from ?? initialState(options.seed);
  const random = new Random(state.random);
  const stopping = (): boolean => signal?.aborted === true;

  let plan = train.epoch(state.epoch);
  if (plan.length === 0) throw new GiantError("data", "training data: found no batch, needed at least one");
  const epochNow = (): number => state.epoch + state.stepInEpoch / stepsOf(plan, gradientAccumulation);

  const evaluationIsDue = (): boolean => {
    if (!validation || validation.length === 0 || state.evaluatedStep === state.step) return false;
    return state.step === 0 || state.step === total || (options.evalSteps > 0 && state.step % options.evalSteps === 0);
  };

  /** Evaluates when it is time to; true when this was the best evaluation so far. */
  async function* evaluateWhenDue(): AsyncGenerator<TrainEvent, boolean> {
    if (!validation || !evaluationIsDue()) return false;
    const begin = clock();
    const measured = await meanLoss(learner, validation, signal);
    if (!measured) return false;
    const { loss, labelledTokens } = measured;
    if (!Number.isFinite(loss)) throw await notFinite(learner, state.step === 0 ? "before training" : `after step ${state.step}`, "validation loss", loss);
    const better = state.step > 0 && (state.best === null || loss < state.best.loss);
    const waited = state.step === 0 || better ? 0 : state.evaluationsWithoutGain + 1;
    state = { ...state, best: better ? { step: state.step, loss } : state.best, evaluationsWithoutGain: waited, evaluatedStep: state.step };
    const seconds = (clock() - begin) / 1000;
    const perByte = validation.bytes === undefined ? {} : { bitsPerByte: bitsPerByte(loss, labelledTokens, validation.bytes) };
    yield { type: "evaluation", step: state.step, epoch: epochNow(), loss, perplexity: Math.exp(loss), labelledTokens, ...perByte, seconds, best: better };
    return better;
  }

  let saved: { readonly state: LoopState; readonly folder: string } | undefined;
  async function* save(): AsyncGenerator<TrainEvent, string> {
    if (saved?.state === state) return saved.folder;
    const folder = await store.save(state, await learner.save());
    saved = { state, folder };
    yield { type: "checkpoint", step: state.step, folder };
    return folder;
  }
  async function* stop(): AsyncGenerator<TrainEvent, LoopResult> {
    const checkpoint = yield* save();
    yield { type: "stopped", step: state.step, checkpoint };
    return { reason: "stopped", state };
  }

  // A run that was stopped, or killed, between a step and its evaluation makes up for it here.
  if ((yield* evaluateWhenDue()) && state.step > 0) yield* save();
  const outOfPatience = (): boolean => options.patience > 0 && state.evaluationsWithoutGain >= options.patience;

  while (state.step < total && !outOfPatience()) {
    if (stopping()) return yield* stop();
    if (state.stepInEpoch === stepsOf(plan, gradientAccumulation)) {
      state = { ...state, epoch: state.epoch + 1, stepInEpoch: 0 };
      plan = train.epoch(state.epoch);
    }
    const begin = clock();
    const rate = learningRateAt(schedule, options.learningRate, state.step);
    const batches = microBatches(plan, state.stepInEpoch, gradientAccumulation);
    const labelledTokens = sum(batches, (batch) => batch.labelRows.length);
    const tokens = sum(batches, countTokens);
    let lossSum = 0;
    for (const batch of batches) {
      lossSum += (await learner.accumulate(batch, 1 / labelledTokens, random.uint32())).lossSum;
      if (!Number.isFinite(lossSum)) throw await notFinite(learner, `step ${state.step + 1}`, "loss", lossSum);
    }
    const { gradientNorm } = await learner.update(rate);
    if (!Number.isFinite(gradientNorm)) throw await notFinite(learner, `step ${state.step + 1}`, "gradient norm", gradientNorm);
    const seconds = (clock() - begin) / 1000;
    state = {
      ...state,
      step: state.step + 1,
      stepInEpoch: state.stepInEpoch + 1,
      random: random.state,
      tokens: state.tokens + tokens,
      labelledTokens: state.labelledTokens + labelledTokens,
      seconds: state.seconds + seconds,
    };
    const loss = lossSum / labelledTokens;
    const tokensPerSecond = seconds > 0 ? tokens / seconds : 0;
    yield { type: "step", step: state.step, epoch: epochNow(), loss, learningRate: rate, gradientNorm, tokens, labelledTokens, seconds, tokensPerSecond };

    const better = stopping() ? false : yield* evaluateWhenDue();
    const last = state.step === total || outOfPatience();
    const regular = options.saveSteps > 0 && state.step % options.saveSteps === 0;
    if (better || last || regular) yield* save();
  }
  // The signal may have come before the very last evaluation, which is then made up for on resuming.
  if (stopping() && evaluationIsDue()) return yield* stop();
  return { reason: state.step >= total ? "complete" : "patience", state };
}

/** The state before the first step. */
function initialState(seed: number): LoopState {
  return {
    step: 0,
    epoch: 0,
    stepInEpoch: 0,
    random: Random.named(seed, "dropout").state,
    best: null,
    evaluationsWithoutGain: 0,
    evaluatedStep: -1,
    tokens: 0,
    labelledTokens: 0,
    seconds: 0,
  };
}

/** Mean loss per labelled token over all batches of a plan, in nats; undefined when the signal came before the end. */
async function meanLoss(
  learner: Learner,
  plan: EpochPlan,
  signal?: AbortSignal,
): Promise<{ readonly loss: number; readonly labelledTokens: number } | undefined> {
  let lossSum = 0;
  let labelledTokens = 0;
  for (let index = 0; index < plan.length; index++) {
    if (signal?.aborted === true) return undefined;
    const batch = plan.batch(index);
    lossSum += (await learner.evaluate(batch)).lossSum;
    labelledTokens += batch.labelRows.length;
  }
  return { loss: lossSum / labelledTokens, labelledTokens };
}

function microBatches(plan: EpochPlan, stepInEpoch: number, gradientAccumulation: number): Batch[] {
  const first = stepInEpoch * gradientAccumulation;
  const count = Math.min(gradientAccumulation, plan.length - first);
  return Array.from({ length: count }, (_, i) => plan.batch(first + i));
}

/** Tokens of a batch without its padding. */
export function countTokens(batch: Batch): number {
  return batch.segments.reduce((count, segment) => count + (segment === 0 ? 0 : 1), 0);
}

function sum<T>(items: readonly T[], size: (item: T) => number): number {
  return items.reduce((total, item) => total + size(item), 0);
}

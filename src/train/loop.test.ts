import { describe, expect, test } from "vitest";
import { FakeLearner, fakePlan, fakeSource } from "../../test/fake-learner.ts";
import { GiantError } from "../base/errors.ts";
import { totalStepsOf } from "./batch-source.ts";
import type { TrainEvent } from "./events.ts";
import type { LearnerState } from "./learner.ts";
import type { CheckpointStore, LoopState } from "./loop-state.ts";
import { runLoop, type LoopOptions, type LoopResult } from "./loop.ts";

/** Checkpoints in memory. */
class MemoryStore implements CheckpointStore {
  readonly all: { readonly state: LoopState; readonly learner: LearnerState }[] = [];
  async save(state: LoopState, learner: LearnerState): Promise<string> {
    this.all.push({ state, learner });
    return `step-${state.step}`;
  }
}

function setUp(
  changes: Partial<LoopOptions> & { learner?: FakeLearner; store?: MemoryStore } = {},
): LoopOptions & { learner: FakeLearner; store: MemoryStore } {
  let now = 0;
  return {
    learner: new FakeLearner(),
    store: new MemoryStore(),
    train: fakeSource(5, 1),
    validation: fakePlan(2, 99),
    schedule: { name: "linear", warmupSteps: 2, totalSteps: 9 },
    learningRate: 0.05,
    gradientAccumulation: 2,
    evalSteps: 3,
    saveSteps: 2,
    patience: 0,
    seed: 7,
    clock: () => (now += 1),
    ...changes,
  };
}

async function collect(options: LoopOptions, onEvent?: (event: TrainEvent) => boolean | void): Promise<{ events: TrainEvent[]; result?: LoopResult }> {
  const events: TrainEvent[] = [];
  const run = runLoop(options);
  for (;;) {
    const next = await run.next();
    if (next.done === true) return { events, result: next.value };
    events.push(next.value);
    if (onEvent?.(next.value) === true) return { events };
  }
}

/** What must be the same whether or not a run was interrupted. */
function essence(events: readonly TrainEvent[]): unknown[] {
  return events
    .filter((event) => event.type === "step" || event.type === "evaluation")
    .map((event) => {
      const { seconds: _seconds, ...rest } = event;
      return "tokensPerSecond" in rest ? { ...rest, tokensPerSecond: 0 } : rest;
    });
}

async function bitsOf(learner: FakeLearner): Promise<string> {
  const { parameters, firstMoments, secondMoments, updates } = await learner.save();
  return JSON.stringify([parameters, firstMoments, secondMoments].map((map) => [...map].map(([name, tensor]) => [name, [...tensor.data]]))) + updates;
}

describe("training loop", () => {
  test("does the schedule's steps, evaluates before, on the way and after, and saves", async () => {
    const options = setUp();
    const { events, result } = await collect(options);
    expect(events.map((event) => `${event.type} ${"step" in event ? event.step : ""}`)).toEqual([
      "evaluation 0",
      "step 1",
      "step 2",
      "checkpoint 2",
      "step 3",
      "evaluation 3",
      "checkpoint 3",
      "step 4",
      "checkpoint 4",
      "step 5",
      "step 6",
      "evaluation 6",
      "checkpoint 6",
      "step 7",
      "step 8",
      "checkpoint 8",
      "step 9",
      "evaluation 9",
      "checkpoint 9",
    ]);
    expect(result).toMatchObject({ reason: "complete", state: { step: 9, epoch: 2, stepInEpoch: 3, best: { step: 9 } } });
    const losses = events.filter((event) => event.type === "evaluation").map((event) => event.loss);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    expect(events.find((event) => event.type === "step" && event.step === 1)).toMatchObject({ learningRate: 0 });
    // Five batches by two: the third step of an epoch has one micro-batch.
    expect(events.filter((event) => event.type === "step").map((event) => event.tokens)).toEqual([20, 20, 10, 20, 20, 10, 20, 20, 10]);
  });

  test("the gradient is scaled by the labelled tokens of the whole step, however it is cut into micro-batches", async () => {
    const scales: number[] = [];
    class Watching extends FakeLearner {
      override async accumulate(...args: Parameters<FakeLearner["accumulate"]>): Promise<{ lossSum: number }> {
        scales.push(args[1] * args[0].labelRows.length);
        return super.accumulate(...args);
      }
    }
    await collect(setUp({ learner: new Watching(), schedule: { name: "constant", warmupSteps: 0, totalSteps: 3 } }));
    expect([scales[0]! + scales[1]!, scales[2]! + scales[3]!, scales[4]!]).toEqual([1, 1, 1].map((one) => expect.closeTo(one, 12)));
  });

  test("a run that dies after any event goes on from its last checkpoint to the same bits and events", async () => {
    const whole = setUp();
    const reference = await collect(whole);
    for (let dies = 1; dies <= reference.events.length; dies++) {
      const first = setUp();
      let seen = 0;
      const before = await collect(first, () => ++seen === dies);
      const checkpoint = first.store.all.at(-1);
      const second = setUp({ store: first.store, ...(checkpoint ? { from: checkpoint.state } : {}) });
      if (checkpoint) await second.learner.load(checkpoint.learner);
      const after = await collect(second);
      const kept = before.events.filter((event) => checkpoint !== undefined && "step" in event && event.step <= checkpoint.state.step);
      expect(essence([...kept, ...after.events])).toEqual(essence(reference.events));
      expect(await bitsOf(second.learner)).toBe(await bitsOf(whole.learner));
      expect({ ...after.result!.state, seconds: 0 }).toEqual({ ...reference.result!.state, seconds: 0 });
    }
  });

  test("a run stopped by its signal at any event saves, says so, and goes on to the same bits and events", async () => {
    const whole = setUp();
    const reference = await collect(whole);
    for (let at = 0; at < reference.events.length - 1; at++) {
      const controller = new AbortController();
      let seen = 0;
      const first = setUp({ signal: controller.signal });
      const before = await collect(first, () => (seen++ === at ? controller.abort() : undefined));
      if (before.result!.reason !== "stopped") {
        expect(before.result!.state.step).toBe(9); // The signal came when there was nothing left to stop.
        continue;
      }
      const checkpoint = first.store.all.at(-1)!;
      expect(before.events.at(-1)).toEqual({ type: "stopped", step: checkpoint.state.step, checkpoint: `step-${checkpoint.state.step}` });
      const second = setUp({ store: first.store, from: checkpoint.state });
      await second.learner.load(checkpoint.learner);
      const after = await collect(second);
      expect(essence([...before.events, ...after.events])).toEqual(essence(reference.events));
      expect(await bitsOf(second.learner)).toBe(await bitsOf(whole.learner));
    }
  });

  test("a signal finishes the step under way", async () => {
    const controller = new AbortController();
    class Stopping extends FakeLearner {
      override async update(rate: number): Promise<{ gradientNorm: number }> {
        controller.abort();
        return super.update(rate);
      }
    }
    const { events } = await collect(setUp({ learner: new Stopping(), signal: controller.signal }));
    expect(events.map((event) => event.type)).toEqual(["evaluation", "step", "checkpoint", "stopped"]);
  });

  test("stops when evaluations no longer gain", async () => {
    const options = setUp({ learningRate: 0, evalSteps: 1, patience: 2, schedule: { name: "constant", warmupSteps: 0, totalSteps: 50 } });
    const { events, result } = await collect(options);
    expect(result).toMatchObject({ reason: "patience", state: { step: 3, best: { step: 1 } } });
    expect(events.at(-1)).toMatchObject({ type: "checkpoint", step: 3 });
  });

  test.each([
    ["loss", { breakLossAt: 4 }, "step 4: the loss is NaN, needed a finite number; the first tensor that is not finite is scores"],
    [
      "gradient norm",
      { breakGradientAt: 4 },
      "step 4: the gradient norm is Infinity, needed a finite number; all weights and gradients are finite, so a value between them overflowed",
    ],
  ])("a %s that is no number ends the run and leaves the last good checkpoint", async (_what, fault, message) => {
    const options = setUp({ learner: Object.assign(new FakeLearner(), fault) });
    const error = await collect(options).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(GiantError);
    expect(error).toMatchObject({ code: "numeric", message });
    expect(options.store.all.map((checkpoint) => checkpoint.state.step)).toEqual([2, 3]);
  });

  test("trains without validation, and refuses to train on nothing", async () => {
    const { validation: _none, ...bare } = setUp();
    const { events, result } = await collect(bare);
    expect(events.some((event) => event.type === "evaluation")).toBe(false);
    expect(result!.state.best).toBeNull();
    await expect(collect(setUp({ train: fakeSource(0, 1) }))).rejects.toThrow("found no batch");
  });

  test("epochs are counted in optimiser steps, fractions rounded up", () => {
    expect([1, 2, 0.5, 1.1].map((epochs) => totalStepsOf(fakeSource(5, 1), epochs, 2))).toEqual([3, 6, 2, 4]);
  });
});

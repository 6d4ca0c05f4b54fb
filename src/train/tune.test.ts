import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { FakeLearner, fakeSource } from "../../test/fake-learner.ts";
import { fakePlatform, fakeSubject } from "../../test/fake-subject.ts";
import { GiantError } from "../base/errors.ts";
import type { RecordedEvent, TrainEvent } from "./events.ts";
import type { Report } from "./report.ts";
import type { RunOutcome } from "./conduct.ts";
import { tune } from "./tune.ts";
import type { TuneOptions } from "./tune-options.ts";
import type { RunPlatform, RunSubject } from "./run-subject.ts";

const scratch = mkdtempSync(join(tmpdir(), "tune-"));
/** Streams of runs that were "killed": ended after the tests only, so that their files are closed. */
const abandoned: AsyncGenerator<TrainEvent, RunOutcome>[] = [];
afterAll(async () => {
  for (const stream of abandoned) await stream.return("stopped");
  rmSync(scratch, { recursive: true, force: true });
});
let folders = 0;

function options(changes: Partial<TuneOptions> = {}): Partial<TuneOptions> {
  return {
    model: "/models/base",
    data: "/data/examples.jsonl",
    output: join(scratch, `run-${folders++}`),
    learningRate: 0.05,
    maxSteps: 7,
    gradientAccumulation: 2,
    evalSteps: 3,
    saveSteps: 2,
    saveTotalLimit: 2,
    ...changes,
  };
}

interface Run {
  readonly events: TrainEvent[];
  readonly outcome: RunOutcome | "killed";
  readonly learner: FakeLearner;
}

/** Runs until the end, or until `onEvent` says true: then nothing more is called, as if the process had been killed. */
async function run(
  given: Partial<TuneOptions>,
  more: {
    subject?: Partial<RunSubject>;
    platform?: Partial<RunPlatform<TuneOptions>>;
    learner?: FakeLearner;
    signal?: AbortSignal;
    onEvent?: (event: TrainEvent) => boolean;
  } = {},
): Promise<Run> {
  const learner = more.learner ?? new FakeLearner();
  const stream = tune(given, fakePlatform(fakeSubject(learner, more.subject), more.platform), more.signal);
  const events: TrainEvent[] = [];
  for (;;) {
    const next = await stream.next();
    if (next.done === true) return { events, outcome: next.value, learner };
    events.push(next.value);
    if (more.onEvent?.(next.value) === true) {
      abandoned.push(stream);
      return { events, outcome: "killed", learner };
    }
  }
}

function read(folder: string, name: string): string {
  return readFileSync(join(folder, name), "utf8");
}

function recorded(folder: string): RecordedEvent[] {
  return read(folder, "events.jsonl")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as RecordedEvent);
}

const TIMES = new Set(["time", "seconds", "tokensPerSecond", "microStepSeconds", "totalSeconds", "eval_runtime", "folder", "result", "report", "peakBytes"]);

/** The text of a value without what clocks and folder names put into it. */
function timeless(value: unknown): string {
  return JSON.stringify(value, (key, part: unknown) => (TIMES.has(key) ? undefined : part));
}

/** Everything a finished run leaves that does not hang on clocks, nor on how often it was interrupted. */
function remains(folder: string): Record<string, unknown> {
  const events = recorded(folder);
  const history = events.filter((event) => !["resumed", "checkpoint", "stopped"].includes(event.type));
  return {
    events: history.map(timeless),
    adapter: read(folder, "adapter/scores.json"),
    state: timeless(JSON.parse(read(folder, "trainer_state.json"))),
    report: timeless(JSON.parse(read(folder, "report.json"))),
    parameters: readFileSync(join(folder, "checkpoints/step-000007/parameters.safetensors")).toString("hex"),
    moments: readFileSync(join(folder, "checkpoints/step-000007/moments.safetensors")).toString("hex"),
    checkpoints: readdirSync(join(folder, "checkpoints")),
  };
}

async function refusal(attempt: Promise<unknown>): Promise<GiantError> {
  const error = await attempt.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(GiantError);
  return error as GiantError;
}

describe("tuning", () => {
  test("leaves a complete run folder", async () => {
    const given = options();
    const { events, outcome } = await run(given);
    const folder = given.output!;
    expect(outcome).toBe("finished");
    expect(events.map((event) => event.type)).toEqual([
      "started",
      "data",
      "forecast",
      "samples",
      "evaluation",
      "step",
      "step",
      "checkpoint",
      "step",
      "evaluation",
      "checkpoint",
      "step",
      "checkpoint",
      "step",
      "step",
      "evaluation",
      "checkpoint",
      "step",
      "evaluation",
      "checkpoint",
      "samples",
      "finished",
    ]);
    expect(readdirSync(folder).toSorted()).toEqual([
      "adapter",
      "checkpoints",
      "events.jsonl",
      "inputs.json",
      "recipe.yaml",
      "report.html",
      "report.json",
      "tensorboard",
      "trainer_state.json",
    ]);
    expect(readdirSync(join(folder, "checkpoints"))).toEqual(["step-000006", "step-000007"]);
    expect(recorded(folder).map(({ time: _time, ...event }) => event)).toEqual(events);
    const report = JSON.parse(read(folder, "report.json")) as Report;
    expect(report.validation.after!.loss).toBeLessThan(report.validation.before!.loss);
    expect(report.validation.after!.perplexity).toBeCloseTo(Math.exp(report.validation.after!.loss), 12);
    expect(report).toMatchObject({
      training: { steps: 7, keptStep: 7, reason: "complete" },
      memory: { peakBytes: 1e8 },
      samples: [{ reference: "That." }, { reference: null }],
    });
    const state = JSON.parse(read(folder, "trainer_state.json")) as Record<string, unknown>;
    expect(state).toMatchObject({ global_step: 7, max_steps: 7, best_model_checkpoint: "checkpoints/step-000007", best_metric: report.validation.after!.loss });
    const page = read(folder, "report.html");
    expect(page).toContain("What is &lt;this&gt;?");
    expect(page).not.toMatch(/src=|href=|<script|https?:/);
  });

  test("the resolved recipe runs again to the same bits", async () => {
    const first = options({ seed: 7, targetModules: [String.raw`.*\.(q|v)_proj`], rankPattern: { q_proj: 4 } });
    await run(first);
    const { parseRecipe } = await import("./recipe.ts");
    const { readRecipe } = await import("../base/options.ts");
    const { TUNE_OPTIONS } = await import("./tune-options.ts");
    const recipe = readRecipe(TUNE_OPTIONS, parseRecipe(read(first.output!, "recipe.yaml"), "recipe.yaml"), "recipe.yaml");
    const second = { ...recipe, output: join(scratch, "again") };
    await run(second);
    expect(remains(second.output)).toEqual(remains(first.output!));
    expect(read(second.output, "recipe.yaml")).toBe(read(first.output!, "recipe.yaml"));
  });

  test("a run killed after any event goes on to the same files", async () => {
    const whole = options();
    const { events } = await run(whole);
    const expected = remains(whole.output!);
    for (let killed = 1; killed < events.length; killed++) {
      const given = options();
      let seen = 0;
      await run(given, { onEvent: () => ++seen === killed });
      appendFileSync(join(given.output!, "events.jsonl"), '{"type":"step","st'); // What a write that was cut short leaves.
      const resumed = await run({ output: given.output!, resume: true });
      expect(resumed.outcome).toBe("finished");
      expect(remains(given.output!)).toEqual(expected);
    }
  }, 240_000);

  test("a run stopped at any event, twice over, goes on to the same files", async () => {
    const whole = options();
    const { events } = await run(whole);
    const expected = remains(whole.output!);
    for (let at = 1; at < events.length; at++) {
      const given = options();
      let outcome: RunOutcome | "killed" = "stopped";
      for (let attempt = 0; outcome !== "finished"; attempt++) {
        expect(attempt).toBeLessThan(30);
        const controller = new AbortController();
        let seen = 0;
        const resume = attempt > 0 ? { output: given.output!, resume: true } : given;
        const stopped = await run(resume, { signal: controller.signal, onEvent: () => (++seen === at && attempt < 2 ? (controller.abort(), false) : false) });
        outcome = stopped.outcome;
        if (outcome === "stopped") expect(stopped.events.at(-1)!.type).toBe("stopped");
      }
      expect(remains(given.output!)).toEqual(expected);
    }
  }, 240_000);

  test("resuming refuses a changed recipe and names the difference", async () => {
    const given = options();
    await run(given, { onEvent: (event) => event.type === "step" && event.step === 3 });
    const changed = await refusal(run({ ...given, resume: true, learningRate: 0.1, data: "/data/other.jsonl" }));
    expect(changed.code).toBe("usage");
    expect(changed.message).toBe(
      `${given.output}: the recipe has changed: data: "/data/other.jsonl", was "/data/examples.jsonl"; learning_rate: 0.1, was 0.05`,
    );
    const inputs = await refusal(run({ ...given, resume: true }, { subject: { fingerprints: { data: "xyz", base: "def" } } }));
    expect(inputs.message).toBe(`${given.output}: what the run reads has changed: data: "xyz", was "abc"`);
    expect((await run({ ...given, resume: true })).outcome).toBe("finished");
  });

  test("resuming a finished run says again how it ended; resuming nothing is refused", async () => {
    const given = options();
    await run(given);
    const again = await run({ output: given.output!, resume: true });
    expect(again.events.map((event) => event.type)).toEqual(["finished"]);
    const error = await refusal(run(options({ resume: true })));
    expect(error).toMatchObject({ code: "usage", message: expect.stringContaining("found no recipe.yaml") as string });
  });

  test("an output folder with something in it is refused before anything is opened", async () => {
    const given = options();
    mkdirSync(given.output!);
    writeFileSync(join(given.output!, "thesis.txt"), "do not lose");
    const open = (): never => {
      throw new Error("opened");
    };
    const error = await refusal(run(given, { platform: { open } }));
    expect(error).toMatchObject({ code: "usage", message: `${given.output}: found other files, needed a new or empty folder` });
  });

  test("the weights of the best evaluation are kept", async () => {
    const given = options({ schedule: "constant", learningRate: 0.8, maxSteps: 9, evalSteps: 1, saveTotalLimit: 1 });
    const { events } = await run(given);
    const evaluations = events.filter((event) => event.type === "evaluation" && event.step > 0);
    const best = evaluations.reduce((low, event) => (event.type === "evaluation" && low.type === "evaluation" && event.loss < low.loss ? event : low));
    const finished = events.at(-1)!;
    if (best.type !== "evaluation" || finished.type !== "finished") throw new Error("no evaluation");
    expect(best.step).toBeLessThan(9);
    expect(finished).toMatchObject({ keptStep: best.step, lossAfter: best.loss });
    const last = await run(options({ schedule: "constant", learningRate: 0.8, maxSteps: 9, evalSteps: 1, loadBest: false }));
    expect(last.events.at(-1)).toMatchObject({ keptStep: 9 });
  });

  test("a run that does not fit into memory is refused with what would, and leaves nothing", async () => {
    const given = options({ memoryLimit: 1e8 });
    const error = await refusal(run(given));
    expect(error.code).toBe("memory");
    expect(error.message).toMatch(/^this run would need .* of memory, found 95\.4 MiB available$/);
    expect(error.hint).toContain("--recompute");
    expect(existsSync(given.output!)).toBe(false);
  });

  test("a loss that is no number ends the run; resuming goes on from the last good checkpoint", async () => {
    const given = options();
    const error = await refusal(run(given, { learner: Object.assign(new FakeLearner(), { breakLossAt: 6 }) }));
    expect(error).toMatchObject({ code: "numeric", message: "step 6: the loss is NaN, needed a finite number; the first tensor that is not finite is scores" });
    const resumed = await run({ output: given.output!, resume: true });
    expect(resumed.events[0]).toMatchObject({ type: "resumed", step: 4 });
    expect(resumed.outcome).toBe("finished");
  });

  test("no data is an error that leaves nothing", async () => {
    const given = options();
    expect(await refusal(run(given, { subject: { train: fakeSource(0, 1) } }))).toMatchObject({ code: "data" });
    expect(existsSync(given.output!)).toBe(false);
  });
});

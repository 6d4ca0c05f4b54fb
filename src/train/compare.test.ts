/** Comparisons over runs in plain arithmetic, and one over real ones in processes of their own. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { FakeLearner } from "../../test/fake-learner.ts";
import { fakePlatform, fakeSubject } from "../../test/fake-subject.ts";
import { writeSentences, writeTinyModel } from "../../test/tiny/write.ts";
import { GiantError } from "../base/errors.ts";
import { tuneApart } from "./apart.ts";
import { compare, type ComparisonEvent, isComparison, type TuneOnce } from "./compare.ts";
import type { CompareOptions } from "./compare-options.ts";
import type { Comparison } from "./comparison.ts";
import type { RunOutcome } from "./conduct.ts";
import { tune } from "./tune.ts";

const scratch = mkdtempSync(join(tmpdir(), "compare-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let folders = 0;

const options = (changes: Partial<CompareOptions> = {}): Partial<CompareOptions> => ({
  model: "/models/base",
  data: "/data/examples.jsonl",
  output: join(scratch, `comparison-${folders++}`),
  compare: ["lora", "full"],
  maxSteps: 6,
  evalSteps: 3,
  learningRates: { full: 0.1 },
  learningRate: 0.05,
  ...changes,
});

const arithmetic: TuneOnce = (given, signal) => tune(given, fakePlatform(fakeSubject(new FakeLearner())), signal);

async function run(
  given: Partial<CompareOptions>,
  tuneOnce: TuneOnce = arithmetic,
  signal?: AbortSignal,
): Promise<{ events: ComparisonEvent[]; outcome: RunOutcome }> {
  const stream = compare(given, signal, tuneOnce);
  const events: ComparisonEvent[] = [];
  for (;;) {
    const next = await stream.next();
    if (next.done === true) return { events, outcome: next.value };
    events.push(next.value);
  }
}

const comparisonIn = (folder: string): Comparison => JSON.parse(readFileSync(join(folder, "comparison.json"), "utf8")) as Comparison;

test("sets methods side by side: the same budget, each with its own rate, in a file and on a page", async () => {
  const given = options();
  const { events, outcome } = await run(given);
  expect(outcome).toBe("finished");
  expect(events.map(({ type }) => type).filter((type) => type !== "run")).toEqual(["method", "row", "method", "row", "compared"]);
  const { rows, budget, failed } = comparisonIn(given.output!);
  expect(rows.map(({ method, learningRate, steps }) => [method, learningRate, steps])).toEqual([
    ["lora", 0.05, 6],
    ["full", 0.1, 6],
  ]);
  expect(failed).toEqual([]);
  expect(budget).toMatchObject({ steps: 6, examples: 10, heldOutExamples: 2 });
  expect(rows[0]!.lossBefore).toBe(rows[1]!.lossBefore);
  expect(rows[1]!.lossAfter).toBeLessThan(rows[0]!.lossAfter!);
  expect(rows[0]!.curve.map(([step]) => step)).toEqual([0, 3, 6]);
  const page = readFileSync(join(given.output!, "comparison.html"), "utf8");
  for (const text of ["base: 2 ways of tuning", "What is &lt;this&gt;?", "<svg", "lora", "full"]) expect(page).toContain(text);
  expect(page).not.toMatch(/https?:\/\/(?!www\.w3\.org)/);
  expect(await isComparison(given.output!)).toBe(true);
  expect(await isComparison(join(given.output!, "lora"))).toBe(false);
});

test("refuses what any of the methods cannot do before the first of them runs", async () => {
  for (const [changes, message] of [
    [{ compare: ["lora", "lorra"] }, '--compare: found "lorra"'],
    [{ learningRates: { dora: 1 } }, '--learning-rates: found "dora"'],
    [{ method: "lora" }, "--method: found it beside --compare"],
    [{ earlyStoppingPatience: 1, evalSteps: 0 }, "--early-stopping-patience"],
  ] as const) {
    const given = options(changes);
    await expect(run(given)).rejects.toThrow(message);
    expect(existsSync(given.output!)).toBe(false);
  }
  const given = options();
  await run(given);
  await expect(run(given)).rejects.toThrow("needed a new or empty folder");
});

test("says which method failed and goes on with the others", async () => {
  const given = options();
  const { events } = await run(given, async function* (one, signal) {
    if (one.method === "lora") throw new GiantError("data", "it went wrong", { hint: "Mend it." });
    return yield* arithmetic(one, signal);
  });
  expect(events.find(({ type }) => type === "failed")).toEqual({ type: "failed", row: { method: "lora", error: "it went wrong", hint: "Mend it." } });
  const { rows, failed } = comparisonIn(given.output!);
  expect(rows.map(({ method }) => method)).toEqual(["full"]);
  expect(failed).toHaveLength(1);
  const nothing: TuneOnce = async function* () {
    yield* [];
    throw new GiantError("data", "it went wrong");
  };
  await expect(run(options(), nothing)).rejects.toThrow("no method came to an end; lora: it went wrong");
});

test("stopped in the second method, it goes on there and ends as if it had never stopped", async () => {
  const whole = options();
  await run(whole);
  const given = options();
  const stopping = new AbortController();
  const { outcome } = await run(
    given,
    async function* (one, signal) {
      const stream = arithmetic(one, signal);
      for (;;) {
        const next = await stream.next();
        if (next.done === true) return next.value;
        if (one.method === "full" && next.value.type === "step" && next.value.step === 4) stopping.abort();
        yield next.value;
      }
    },
    stopping.signal,
  );
  expect(outcome).toBe("stopped");
  expect(existsSync(join(given.output!, "comparison.json"))).toBe(false);
  const begun: string[] = [];
  const again = await run({ output: given.output!, resume: true }, (one, signal) => {
    begun.push(JSON.stringify(one));
    return arithmetic(one, signal);
  });
  expect(again.outcome).toBe("finished");
  expect(begun.every((one) => one.includes('"resume":true'))).toBe(true);
  const losses = (folder: string): unknown => comparisonIn(folder).rows.map(({ method, lossAfter, curve }) => [method, lossAfter, curve]);
  expect(losses(given.output!)).toEqual(losses(whole.output!));
});

test("runs each method in a process of its own", { timeout: 60_000 }, async () => {
  const model = join(scratch, "model");
  const data = join(scratch, "sentences.jsonl");
  await writeTinyModel(model);
  await writeSentences(data);
  const given = { model, data, output: join(scratch, "apart"), compare: ["lora", "full"], maxSteps: 2, device: "cpu", threads: 1, samples: 0 } as const;
  const { events, outcome } = await run(given, tuneApart);
  expect(outcome).toBe("finished");
  expect(events.filter(({ type }) => type === "failed")).toEqual([]);
  for (const { resultBytes, peakBytes, trainableParameters } of comparisonIn(given.output).rows) {
    expect(resultBytes).toBeGreaterThanOrEqual(4 * trainableParameters);
    expect(peakBytes).toBeGreaterThan(50e6);
  }
});

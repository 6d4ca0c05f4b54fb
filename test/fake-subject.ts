/** A tuning subject and a machine in plain arithmetic, so that whole runs are tested without a model. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunPlatform, RunSubject } from "../src/train/run-subject.ts";
import type { TuneOptions } from "../src/train/tune-options.ts";
import { FakeLearner, fakePlan, fakeSource } from "./fake-learner.ts";

/** A subject over a learner; `changes` replaces parts of it. */
export function fakeSubject(learner: FakeLearner, changes: Partial<RunSubject> = {}): RunSubject {
  const summary = { file: "examples.jsonl", format: "messages", examples: 10, tokens: 120, labelledTokens: 40, truncated: 1, dropped: 0, unlabelled: 2 };
  return {
    device: "cpu",
    threads: 1,
    memory: {
      forecast: { peakBytes: 1.5e8, parts: { weights: 1e7, trainables: 1e6, optimiser: 1e6, activations: 1e7, logits: 1e7, workspace: 1.18e8 } },
      savings: () => [{ words: "--recompute", peakBytes: 1.4e8 }],
    },
    train: fakeSource(5, 1),
    validation: fakePlan(2, 99),
    trainSummary: summary,
    validationSummary: { ...summary, examples: 2 },
    prompts: [{ prompt: "What is <this>?", reference: "That." }, { prompt: "And this?" }],
    fingerprints: { data: "abc", base: "def" },
    warnings: [],
    resultName: "adapter",
    createLearner: () => Promise.resolve(learner),
    async answer(prompts) {
      const scores = [...(await learner.save()).parameters.get("scores")!.data].map((score) => score.toFixed(2));
      return prompts.map(({ prompt }) => `${prompt} ${scores.join(" ")}`);
    },
    async writeResult(folder) {
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, "scores.json"), JSON.stringify([...(await learner.save()).parameters.get("scores")!.data]));
    },
    close: () => learner.close(),
    ...changes,
  };
}

/** A machine whose clock ticks a millisecond at each look. */
export function fakePlatform(subject: RunSubject, changes: Partial<RunPlatform<TuneOptions>> = {}): RunPlatform<TuneOptions> {
  let ticks = 0;
  return {
    open: () => Promise.resolve(subject),
    clock: () => (ticks += 1),
    now: () => 1_700_000_000 + (ticks += 1) / 1000,
    availableMemory: () => 4e9,
    peakMemory: () => 1e8,
    ...changes,
  };
}

import { describe, expect, test } from "vitest";
import type { RecordedEvent } from "./events.ts";
import { buildReport } from "./report.ts";
import { reportPage } from "./report-html.ts";

const summary = { file: "a<b>.jsonl", format: "messages", examples: 9, tokens: 90, labelledTokens: 30, truncated: 0, dropped: 2, unlabelled: 1 };
const step = (number: number, loss: number): RecordedEvent => ({
  type: "step",
  step: number,
  epoch: number / 4,
  loss,
  learningRate: 1e-3,
  gradientNorm: 1,
  tokens: 100,
  labelledTokens: 40,
  seconds: 2,
  tokensPerSecond: 50,
  time: number,
});
const evaluation = (number: number, loss: number, best: boolean): RecordedEvent => ({
  type: "evaluation",
  step: number,
  epoch: number / 4,
  loss,
  perplexity: Math.exp(loss),
  labelledTokens: 12,
  seconds: 1,
  best,
  time: number,
});
const events: RecordedEvent[] = [
  {
    type: "started",
    model: "/models/tiny",
    data: "a",
    method: "lora",
    device: "cpu",
    threads: 2,
    seed: 1,
    trainableParameters: 1000,
    totalParameters: 50_000,
    totalSteps: 4,
    epochs: 1,
    time: 0,
  },
  { type: "data", train: summary, validation: null, time: 0 },
  {
    type: "forecast",
    peakBytes: 4e8,
    availableBytes: 8e9,
    parts: { weights: 1e8, trainables: 5e7, optimiser: 5e7, activations: 5e7, logits: 5e7, workspace: 1e8 },
    microStepSeconds: 2,
    tokensPerSecond: 44,
    totalSeconds: 9,
    time: 0,
  },
  { type: "samples", when: "before", step: 0, samples: [{ prompt: "<script>", answer: "no", reference: "yes" }], time: 0 },
  evaluation(0, 3, false),
  step(1, 3),
  step(2, 2),
  evaluation(2, 1.5, true),
  step(3, 2),
  step(4, 1),
  evaluation(4, 2, false),
  { type: "samples", when: "after", step: 2, samples: [{ prompt: "<script>", answer: "yes & no", reference: "yes" }], time: 5 },
];

describe("report", () => {
  const report = buildReport(events, { reason: "complete", keptStep: 2, peakBytes: 5e8 });

  test("before is step 0, after is the step whose weights are kept", () => {
    expect(report.validation).toEqual({ before: { loss: 3, perplexity: Math.exp(3) }, after: { loss: 1.5, perplexity: Math.exp(1.5) }, labelledTokens: 12 });
  });

  test("the steps are summed up", () => {
    expect(report.training).toEqual({
      steps: 4,
      epochs: 1,
      keptStep: 2,
      reason: "complete",
      lastLoss: 1,
      tokens: 400,
      labelledTokens: 160,
      seconds: 8,
      tokensPerSecond: 50,
      forecastSeconds: 9,
      forecastTokensPerSecond: 44,
    });
  });

  test("the forecast of a run that ended early counts for the steps that were done", () => {
    const short = buildReport(
      events.filter((event) => event.type !== "step" || event.step <= 2),
      { reason: "patience", keptStep: 2, peakBytes: 5e8 },
    );
    expect(short.training.forecastSeconds).toBe(4.5);
    expect(reportPage(short, events)).toContain("4.5 s, 44.0 tokens/s (forecast +13 %)");
    expect(buildReport([], { reason: "complete", keptStep: 0, peakBytes: 1 }).training.forecastSeconds).toBeNull();
  });

  test("answers stand side by side", () => {
    expect(report.samples).toEqual([{ prompt: "<script>", reference: "yes", before: "no", after: "yes & no" }]);
  });

  test("the page shows it, quotes what the model said, and needs nothing from outside", () => {
    const page = reportPage(report, events);
    expect(page).toContain('<td class="number">3.0000</td><td class="number">1.5000</td>');
    expect(page).toContain('<td class="text">&lt;script&gt;</td><td class="text">no</td><td class="text">yes &amp; no</td>');
    expect(page).toContain("a&lt;b&gt;.jsonl (messages): 9 examples, 90 tokens, 2 dropped, 1 without an answer left out");
    expect(page).not.toMatch(/<script|src=|href=|https?:/);
  });

  test("a run without validation, prompts or steps has a page too", () => {
    const bare = buildReport(events.slice(0, 1), { reason: "complete", keptStep: 0, peakBytes: 1 });
    expect(bare.validation).toEqual({ before: null, after: null, labelledTokens: 0 });
    expect(reportPage(bare, [])).toContain("No step was done.");
  });
});

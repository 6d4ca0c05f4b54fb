/** `report.json`: what a run did and what it changed, measured before and after. */
import type { MemoryParts } from "../plan/memory-parts.ts";
import type { DataSummary, RecordedEvent, Sample, SamplePair } from "./events.ts";

export interface Measured {
  /** Nats per labelled token. */
  readonly loss: number;
  readonly perplexity: number;
  /** The same per byte of text, in bits; where the text's bytes are known. */
  readonly bitsPerByte?: number;
}

export interface Report {
  readonly model: string;
  readonly method: string;
  readonly device: string;
  readonly trainableParameters: number;
  readonly totalParameters: number;
  readonly validation: { readonly before: Measured | null; readonly after: Measured | null; readonly labelledTokens: number };
  readonly training: {
    readonly steps: number;
    readonly epochs: number;
    readonly keptStep: number;
    readonly reason: string;
    readonly lastLoss: number | null;
    readonly tokens: number;
    readonly labelledTokens: number;
    /** Of the optimiser steps alone. */
    readonly seconds: number;
    readonly tokensPerSecond: number;
    /** What the forecast said for the steps that were done. */
    readonly forecastSeconds: number | null;
    readonly forecastTokensPerSecond: number | null;
  };
  readonly memory: { readonly forecastBytes: number | null; readonly parts: MemoryParts | null; readonly peakBytes: number };
  readonly data: { readonly train: DataSummary | null; readonly validation: DataSummary | null };
  readonly samples: readonly SamplePair[];
}

/** What the events do not say. */
export interface Ending {
  readonly reason: string;
  readonly keptStep: number;
  readonly peakBytes: number;
}

/** Gathers the report of a run from its events. */
export function buildReport(events: readonly RecordedEvent[], ending: Ending): Report {
  const find = <K extends RecordedEvent["type"]>(type: K): Extract<RecordedEvent, { type: K }> | undefined =>
    events.findLast((event): event is Extract<RecordedEvent, { type: K }> => event.type === type);
  const started = find("started");
  const forecast = find("forecast");
  const steps = events.filter((event) => event.type === "step");
  const evaluations = events.filter((event) => event.type === "evaluation");
  const before = evaluations.find((event) => event.step === 0);
  const after = evaluations.findLast((event) => event.step === ending.keptStep && event.step > 0);
  const total = (size: (event: (typeof steps)[number]) => number): number => steps.reduce((sum, event) => sum + size(event), 0);
  const seconds = total((event) => event.seconds);
  const tokens = total((event) => event.tokens);
  const last = steps.at(-1);
  return {
    model: started?.model ?? "",
    method: started?.method ?? "",
    device: started?.device ?? "",
    trainableParameters: started?.trainableParameters ?? 0,
    totalParameters: started?.totalParameters ?? 0,
    validation: { before: measuredBy(before), after: measuredBy(after), labelledTokens: before?.labelledTokens ?? 0 },
    training: {
      steps: last?.step ?? 0,
      epochs: last?.epoch ?? 0,
      keptStep: ending.keptStep,
      reason: ending.reason,
      lastLoss: last?.loss ?? null,
      tokens,
      labelledTokens: total((event) => event.labelledTokens),
      seconds,
      tokensPerSecond: seconds > 0 ? tokens / seconds : 0,
      forecastSeconds: forecast && started ? (forecast.totalSeconds * steps.length) / started.totalSteps : null,
      forecastTokensPerSecond: forecast?.tokensPerSecond ?? null,
    },
    memory: { forecastBytes: forecast?.peakBytes ?? null, parts: forecast?.parts ?? null, peakBytes: ending.peakBytes },
    data: { train: find("data")?.train ?? null, validation: find("data")?.validation ?? null },
    samples: pairSamples(samplesOf(events, "before"), samplesOf(events, "after")),
  };
}

function measuredBy(event: Measured | undefined): Measured | null {
  if (event === undefined) return null;
  const { loss, perplexity, bitsPerByte } = event;
  return { loss, perplexity, ...(bitsPerByte === undefined ? {} : { bitsPerByte }) };
}

function samplesOf(events: readonly RecordedEvent[], when: "before" | "after"): readonly Sample[] {
  const event = events.findLast((one) => one.type === "samples" && one.when === when);
  return event?.type === "samples" ? event.samples : [];
}

function pairSamples(before: readonly Sample[], after: readonly Sample[]): SamplePair[] {
  const longer = before.length >= after.length ? before : after;
  return longer.map(({ prompt, reference }, i) => ({
    prompt,
    reference: reference ?? null,
    before: before[i]?.answer ?? null,
    after: after[i]?.answer ?? null,
  }));
}

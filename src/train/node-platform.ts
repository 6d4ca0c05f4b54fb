/** The machine a run really runs on. */
import { machineMemory, processMemory } from "../runtime/memory.ts";
import { openPretraining } from "./open-pretraining.ts";
import { openSubject } from "./open-subject.ts";
import type { PretrainOptions } from "./pretrain-options.ts";
import type { Machine, RunPlatform } from "./run-subject.ts";
import type { TuneOptions } from "./tune-options.ts";

/** Clocks and memory of this process. */
export function nodeMachine(): Machine {
  return {
    clock: () => performance.now(),
    now: () => Date.now() / 1000,
    availableMemory: () => machineMemory().availableBytes + processMemory().residentBytes,
    peakMemory: () => processMemory().peakBytes,
  };
}

/** Clocks, memory and devices of this process, for tuning. */
export function nodePlatform(): RunPlatform<TuneOptions> {
  return { open: openSubject, ...nodeMachine() };
}

/** The same for pretraining. */
export function pretrainPlatform(): RunPlatform<PretrainOptions> {
  return { open: openPretraining, ...nodeMachine() };
}

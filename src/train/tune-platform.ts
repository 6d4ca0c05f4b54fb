/** The machine a tuning run really runs on. */
import { machineMemory, processMemory } from "../runtime/memory.ts";
import { openSubject } from "./open-subject.ts";
import type { TunePlatform } from "./tune-subject.ts";

/** Clocks, memory and devices of this process. */
export function nodePlatform(): TunePlatform {
  return {
    open: openSubject,
    clock: () => performance.now(),
    now: () => Date.now() / 1000,
    availableMemory: () => machineMemory().availableBytes + processMemory().residentBytes,
    peakMemory: () => processMemory().peakBytes,
  };
}

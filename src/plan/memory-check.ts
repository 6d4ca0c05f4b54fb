/** Whether a run fits into memory, and what would if it does not. */
import { GiantError } from "../base/errors.ts";
import { formatBytes } from "../base/units.ts";
import type { MemoryForecast } from "./memory-parts.ts";

/** A change of the recipe that would need less memory, in the user's words. */
export interface Saving {
  readonly words: string;
  readonly peakBytes: number;
}

/** The forecast of a run's memory, and changes worth trying, from the one that costs the user least. */
export interface MemoryPlan {
  readonly forecast: MemoryForecast;
  savings(): readonly Saving[];
}

/** Refuses a run whose forecast does not fit into the memory that is there, and says what would need less. */
export function checkMemory(plan: MemoryPlan, availableBytes: number): MemoryForecast {
  const { forecast } = plan;
  if (forecast.peakBytes <= availableBytes) return forecast;
  const advice = plan.savings().map(({ words, peakBytes }) => `${words} (${formatBytes(peakBytes)})`);
  throw new GiantError("memory", `this run would need ${formatBytes(forecast.peakBytes)} of memory, found ${formatBytes(availableBytes)} available`, {
    hint:
      advice.length > 0
        ? `Try ${advice.join(", or ")}; --memory-limit SIZE overrides what was found.`
        : "Choose a smaller model; --memory-limit SIZE overrides what was found.",
    facts: { peakBytes: forecast.peakBytes, availableBytes, parts: forecast.parts },
  });
}

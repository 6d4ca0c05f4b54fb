/** A run's memory as it is planned, and the changes of its recipe that would need less. */
import type { AdaptationMethod } from "../peft/method.ts";
import type { MemoryPlan, Saving } from "../plan/memory-check.ts";
import type { RunForecaster, RunSetting } from "./run-programs.ts";

/** @param lighter a method that trains less, with the words that choose it. */
export function planMemory(
  forecaster: RunForecaster,
  setting: RunSetting,
  lighter?: { readonly words: string; readonly method: () => AdaptationMethod },
): MemoryPlan {
  const saving = (words: string, changes: Partial<RunSetting>): Saving => ({ words, peakBytes: forecaster.memory({ ...setting, ...changes }).peakBytes });
  return {
    forecast: forecaster.memory(setting),
    savings() {
      const { batch, recompute, packs } = setting;
      const savings: Saving[] = [];
      const half = { ...batch, rows: Math.ceil(batch.rows / 2), labels: Math.ceil(batch.labels / 2) };
      const short = { ...batch, length: Math.ceil(batch.length / 2), labels: Math.ceil(batch.labels / 2) };
      if (packs && !recompute) savings.push(saving("--no-pack-weights", { packs: false }));
      if (batch.rows > 1) {
        const words = `--batch-size ${half.rows} with twice the --gradient-accumulation`;
        savings.push(saving(words, { batch: half, accumulation: 2 * setting.accumulation, ...halfValidation(setting, half.rows) }));
      }
      if (!recompute) savings.push(saving("--recompute", { recompute: true, packs: false }));
      if (batch.length > 64) savings.push(saving(`--max-length ${short.length}`, { batch: short, longestRow: short.length, ...shortValidation(setting) }));
      if (lighter) savings.push(saving(lighter.words, { method: lighter.method() }));
      return savings.filter(({ peakBytes }) => peakBytes < this.forecast.peakBytes);
    },
  };
}

function halfValidation({ validation }: RunSetting, rows: number): Partial<RunSetting> {
  if (validation === undefined || validation.rows <= rows) return {};
  return { validation: { ...validation, rows, labels: Math.ceil((validation.labels * rows) / validation.rows) } };
}

function shortValidation({ validation }: RunSetting): Partial<RunSetting> {
  if (validation === undefined) return {};
  return { validation: { ...validation, length: Math.ceil(validation.length / 2), labels: Math.ceil(validation.labels / 2) } };
}

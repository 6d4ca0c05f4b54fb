import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { goldenFolder, readJson } from "../../test/golden.ts";
import { FLOAT64, worstExcess } from "../../test/tolerance.ts";
import { learningRateAt, SCHEDULE_NAMES, type ScheduleName, type ScheduleShape } from "./schedule.ts";

interface GoldenSchedule {
  readonly name: string;
  readonly warmup: number;
  readonly total: number;
  readonly num_cycles?: number;
  readonly lr_end?: number;
  readonly power?: number;
  readonly min_lr_rate?: number;
  readonly timescale?: number;
  readonly num_decay_steps?: number;
  readonly decay_type?: string;
  readonly lr: readonly number[];
}

const file = join(goldenFolder(), "optim", "schedules.json");
const golden = existsSync(file) ? readJson<{ base_lr: number; schedules: GoldenSchedule[] }>(file) : { base_lr: 0, schedules: [] };

function shapeOf(one: GoldenSchedule): ScheduleShape | undefined {
  const name = one.name === "constant_with_warmup" ? "constant" : (one.name as ScheduleName);
  if (!SCHEDULE_NAMES.includes(name) || (one.decay_type ?? "linear") !== "linear") return undefined;
  return {
    name,
    warmupSteps: one.warmup,
    totalSteps: one.total,
    ...(one.num_cycles === undefined ? {} : { cycles: one.num_cycles }),
    ...(one.power === undefined ? {} : { power: one.power }),
    ...(one.lr_end === undefined ? {} : { endRate: one.lr_end }),
    ...(one.min_lr_rate === undefined ? {} : { minimumPart: one.min_lr_rate }),
    ...(one.timescale === undefined ? {} : { timescale: one.timescale }),
    ...(one.num_decay_steps === undefined ? {} : { decaySteps: one.num_decay_steps }),
  };
}

describe("schedules against transformers", () => {
  test.for(golden.schedules)("$name, warm-up $warmup of $total", (one, context) => {
    const shape = shapeOf(one);
    if (!shape) return context.skip(`not covered: schedule ${one.name}: no such schedule`);
    const rates = one.lr.map((_, step) => learningRateAt(shape, golden.base_lr, step));
    // An end of the course at exactly zero is compared on the scale of the peak.
    const scaled = (values: readonly number[]): number[] => values.map((value) => value / golden.base_lr);
    expect(worstExcess(scaled(rates), scaled(one.lr), FLOAT64)).toMatchObject({ excess: expect.toSatisfy((excess: number) => excess <= 1) });
  });
});

/** Learning-rate schedules with warm-up, step for step those of transformers (optimization.py, 4.57). */

export type ScheduleName =
  | "constant"
  | "linear"
  | "cosine"
  | "polynomial"
  | "inverse_sqrt"
  | "cosine_with_restarts"
  | "cosine_with_min_lr"
  | "warmup_stable_decay";

export const SCHEDULE_NAMES: readonly ScheduleName[] = [
  "constant",
  "linear",
  "cosine",
  "polynomial",
  "inverse_sqrt",
  "cosine_with_restarts",
  "cosine_with_min_lr",
  "warmup_stable_decay",
];

export interface ScheduleShape {
  readonly name: ScheduleName;
  readonly warmupSteps: number;
  readonly totalSteps: number;
  /** Cosine waves: 0.5 by default, 1 with restarts. */
  readonly cycles?: number;
  /** Polynomial: the exponent (default 1) and the rate at the end (default 1e-7). */
  readonly power?: number;
  readonly endRate?: number;
  /** Cosine with a floor: the lowest rate as a part of the peak (default 0.1). */
  readonly minimumPart?: number;
  /** Inverse square root: steps of the time scale (default: the warm-up's, or 10000). */
  readonly timescale?: number;
  /** Warm-up, stable, decay: steps of the linear decay (default: a fifth of all). */
  readonly decaySteps?: number;
}

/** Warm-up steps for a part of the whole run, as Hugging Face's Trainer rounds them. */
export function warmupStepsOf(totalSteps: number, ratio: number): number {
  return Math.ceil(totalSteps * ratio);
}

/**
 * The learning rate of optimiser step `step` (0-based) for a peak of `peakRate`.
 * A step in the warm-up has peak · step / warmupSteps, so the first one has 0.
 */
export function learningRateAt(shape: ScheduleShape, peakRate: number, step: number): number {
  const { warmupSteps, totalSteps } = shape;
  if (step < warmupSteps) return peakRate * (step / Math.max(1, warmupSteps));
  const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
  switch (shape.name) {
    case "constant":
      return peakRate;
    case "linear":
      return peakRate * Math.max(0, (totalSteps - step) / Math.max(1, totalSteps - warmupSteps));
    case "cosine":
      return peakRate * Math.max(0, cosineFactor(progress, shape.cycles ?? 0.5));
    case "cosine_with_min_lr": {
      const least = shape.minimumPart ?? 0.1;
      return peakRate * Math.max(0, cosineFactor(progress, shape.cycles ?? 0.5) * (1 - least) + least);
    }
    case "cosine_with_restarts":
      return progress >= 1 ? 0 : peakRate * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * (((shape.cycles ?? 1) * progress) % 1))));
    case "polynomial": {
      const end = shape.endRate ?? 1e-7;
      return step > totalSteps ? end : (peakRate - end) * (1 - progress) ** (shape.power ?? 1) + end;
    }
    case "inverse_sqrt": {
      const timescale = shape.timescale ?? (warmupSteps || 10_000);
      return peakRate / Math.sqrt((step + timescale - warmupSteps) / timescale);
    }
    case "warmup_stable_decay": {
      const decaySteps = shape.decaySteps ?? Math.ceil(totalSteps / 5);
      const intoDecay = step - (totalSteps - decaySteps);
      if (intoDecay < 0) return peakRate;
      return intoDecay < decaySteps ? peakRate * Math.max(0, 1 - intoDecay / Math.max(1, decaySteps)) : 0;
    }
  }
}

function cosineFactor(progress: number, cycles: number): number {
  return 0.5 * (1 + Math.cos(Math.PI * cycles * 2 * progress));
}

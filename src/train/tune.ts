/** Tuning: a run over a model that is there already and a file of examples. */
import { conduct, type RunKind, type RunOutcome } from "./conduct.ts";
import type { TrainEvent } from "./events.ts";
import type { RunPlatform } from "./run-subject.ts";
import { absolutePaths, resolveTuneOptions, TUNE_OPTIONS, type TuneOptions } from "./tune-options.ts";

const TUNING: RunKind<TuneOptions> = {
  verb: "tune",
  table: TUNE_OPTIONS,
  resolve: resolveTuneOptions,
  absolutePaths,
  describe: ({ model, data, method }) => ({ model, data, method }),
};

/** Tunes a model as the options say; see `conduct`. */
export function tune(given: Partial<TuneOptions>, platform: RunPlatform<TuneOptions>, signal?: AbortSignal): AsyncGenerator<TrainEvent, RunOutcome> {
  return conduct(TUNING, given, platform, signal);
}

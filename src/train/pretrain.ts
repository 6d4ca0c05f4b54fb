/** Pretraining: a run over a model that learns a language from nothing, or goes on learning it. */
import { conduct, type RunKind, type RunOutcome } from "./conduct.ts";
import type { TrainEvent } from "./events.ts";
import { absolutePaths, PRETRAIN_OPTIONS, type PretrainOptions, resolvePretrainOptions } from "./pretrain-options.ts";
import type { RunPlatform } from "./run-subject.ts";

const PRETRAINING: RunKind<PretrainOptions> = {
  verb: "pretrain",
  table: PRETRAIN_OPTIONS,
  resolve: resolvePretrainOptions,
  absolutePaths,
  describe: ({ init, preset, data }) => ({ model: init ?? `a new ${preset} llama`, data: data.join(", "), method: "pretrain" }),
};

/** Trains a model from its first weights as the options say; see `conduct`. */
export function pretrain(
  given: Partial<PretrainOptions>,
  platform: RunPlatform<PretrainOptions>,
  signal?: AbortSignal,
): AsyncGenerator<TrainEvent, RunOutcome> {
  return conduct(PRETRAINING, given, platform, signal);
}

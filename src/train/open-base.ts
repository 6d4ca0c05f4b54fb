/** Opens the base of a tuning run as the run computes with it: as it is stored, in four bits, or with its layers in int8 too. */
import { userCacheFolder } from "../io/cache-folder.ts";
import type { Engine } from "../runtime/engine.ts";
import { largestInt8Code } from "../runtime/int8-limit.ts";
import { type Int8Weights, openInt8Weights } from "../workbench/int8-weights.ts";
import { openModel, type OpenModel } from "../workbench/open-model.ts";
import { openQuantized, quantizedFolder } from "../workbench/quantize-model.ts";
import type { TrainEvent } from "./events.ts";
import type { TuneOptions } from "./tune-options.ts";

/** Milliseconds between words about work that takes long. */
const TOLD_EVERY_MS = 500;

/** The base that `--model` names; for QLoRA its form in four bits. */
export async function* openBase(options: TuneOptions): AsyncGenerator<TrainEvent, OpenModel> {
  const stored = await openModel(options.model);
  return options.method === "qlora" ? yield* quantizedBase(stored, options) : stored;
}

/** The base in four bits; quantising it says how far it is. */
async function* quantizedBase(
  model: OpenModel,
  { quantizedCache, quantBlockSize: blockSize, doubleQuant }: TuneOptions,
): AsyncGenerator<TrainEvent, OpenModel> {
  const stopping = new AbortController();
  let [done, ended] = [0, false];
  const options = { blockSize, doubleQuant, signal: stopping.signal, onProgress: (part: number) => (done = part) };
  const opening = openQuantized(model, quantizedCache ?? quantizedFolder(model, options), options).finally(() => (ended = true));
  opening.catch(() => undefined); // Heard below.
  try {
    for (;;) {
      await Promise.race([opening, new Promise((resolve) => setTimeout(resolve, TOLD_EVERY_MS).unref())]);
      if (ended) return await opening;
      yield { type: "preparing", work: "quantising the base to 4 bits", done };
    }
  } finally {
    stopping.abort();
    await opening.catch(() => undefined);
  }
}

/** The layers in int8 that `--compute fast` multiplies by. */
export async function openInt8({ int8Cache }: TuneOptions, engine: Engine, model: OpenModel): Promise<Int8Weights> {
  return openInt8Weights(model, int8Cache ?? userCacheFolder(), await largestInt8Code(engine));
}

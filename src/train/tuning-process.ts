/** The process that `tuneApart` starts: tunes once and says what happens to the one that started it. */
import { GiantError } from "../base/errors.ts";
import type { FromTuning, ToTuning } from "./apart.ts";
import { nodePlatform } from "./node-platform.ts";
import { tune } from "./tune.ts";
import type { TuneOptions } from "./tune-options.ts";

const stopping = new AbortController();

// Ctrl-C reaches every process of the terminal; the one that started this one says what is to be done.
process.on("SIGINT", () => undefined);
process.on("disconnect", () => stopping.abort());
process.on("message", (message: ToTuning) => {
  if (message.type === "stop") stopping.abort();
  else void work(message.given);
});

async function work(given: Partial<TuneOptions>): Promise<void> {
  await say(await tuned(given));
  process.disconnect();
}

async function tuned(given: Partial<TuneOptions>): Promise<FromTuning> {
  try {
    const run = tune(given, nodePlatform(), stopping.signal);
    for (;;) {
      const next = await run.next();
      if (next.done === true) return { type: "ended", outcome: next.value };
      await say({ type: "event", event: next.value });
    }
  } catch (error) {
    if (error instanceof GiantError)
      return { type: "failed", code: error.code, message: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) };
    return { type: "failed", code: "internal", message: error instanceof Error ? error.message : String(error) };
  }
}

/** Resolves once it is on its way, also when nobody listens any more. */
async function say(message: FromTuning): Promise<void> {
  if (process.connected) await new Promise<void>((resolve) => process.send!(message, () => resolve()));
}

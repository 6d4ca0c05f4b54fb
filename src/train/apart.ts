/** Tunes in a process of its own, so that its memory is its own: what one run leaves behind does not count for the next. */
import { fork } from "node:child_process";
import { createRequire } from "node:module";
import { GiantError, type GiantErrorCode } from "../base/errors.ts";
import type { RunOutcome } from "./conduct.ts";
import type { TrainEvent } from "./events.ts";
import type { TuneOptions } from "./tune-options.ts";

/** What the process is told: first the options, later perhaps to stop. */
export type ToTuning = { readonly type: "tune"; readonly given: Partial<TuneOptions> } | { readonly type: "stop" };

/** What it says. */
export type FromTuning =
  | { readonly type: "event"; readonly event: TrainEvent }
  | { readonly type: "ended"; readonly outcome: RunOutcome }
  | { readonly type: "failed"; readonly code: GiantErrorCode; readonly message: string; readonly hint?: string };

/** Tunes as `tune` does, in another process; a signal stops it at its next step, as here. */
export async function* tuneApart(given: Partial<TuneOptions>, signal?: AbortSignal): AsyncGenerator<TrainEvent, RunOutcome> {
  const child = fork(createRequire(import.meta.url).resolve("#tuning-process"), { stdio: ["ignore", "inherit", "inherit", "ipc"], execArgv: [] });
  const queue: FromTuning[] = [];
  let wake = (): void => undefined;
  let ended: string | undefined;
  child.on("message", (message: FromTuning) => {
    queue.push(message);
    wake();
  });
  const end = (why: string): void => {
    ended ??= why;
    wake();
  };
  child.on("error", (error) => end(error.message));
  child.on("exit", (code, by) => end(by === null ? `exit code ${code}` : `signal ${by}`));
  const tell = (message: ToTuning): void => void (child.connected && child.send(message));
  const stop = (): void => tell({ type: "stop" });
  signal?.addEventListener("abort", stop);
  tell({ type: "tune", given });
  if (signal?.aborted === true) stop();
  try {
    for (;;) {
      const message = queue.shift();
      if (message === undefined) {
        // A process that the system ends, for its memory above all, says nothing more.
        if (ended !== undefined)
          throw new GiantError("device", `the tuning process ended by itself: ${ended}`, {
            hint: "It may have run out of memory: see --memory-limit and --recompute.",
          });
        await new Promise<void>((resolve) => (wake = resolve));
      } else if (message.type === "event") yield message.event;
      else if (message.type === "ended") return message.outcome;
      else throw new GiantError(message.code, message.message, message.hint === undefined ? {} : { hint: message.hint });
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    if (ended === undefined) child.kill();
  }
}

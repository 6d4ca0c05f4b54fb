/** Follows a training run to its end, showing how it goes. */
import type { RunOutcome } from "../train/conduct.ts";
import type { TrainEvent } from "../train/events.ts";
import type { Output } from "./output.ts";
import { RunDisplay } from "./run-display.ts";

/**
 * Shows a run's events; the exit code is 130 when it was stopped.
 * @param again the command line, behind the program's name, that goes on with the run.
 */
export async function followRun(run: AsyncGenerator<TrainEvent, RunOutcome>, again: string, output: Output): Promise<number> {
  const display = new RunDisplay(output);
  try {
    for (;;) {
      const next = await run.next();
      if (next.done !== true) {
        await display.show(next.value);
        continue;
      }
      if (next.value === "finished") return 0;
      output.err(`hint: npx mini-giants ${again} goes on from here\n`);
      return 130;
    }
  } finally {
    display.close();
  }
}

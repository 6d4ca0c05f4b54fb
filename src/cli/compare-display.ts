/** Shows a comparison of methods on the terminal: each run as it goes, then the table and the curves. */
import { formatBytes, formatCount, formatDuration, formatFigure } from "../base/units.ts";
import type { ComparisonEvent } from "../train/compare.ts";
import { type Comparison, type ComparisonRow, ranked } from "../train/comparison.ts";
import type { Output } from "./output.ts";
import { RunDisplay } from "./run-display.ts";
import { formatTable } from "./table.ts";

/** Columns of the longest bar. */
const BAR = 24;

export class CompareDisplay {
  readonly #output: Output;
  #run: RunDisplay | undefined;

  constructor(output: Output) {
    this.#output = output;
  }

  async show(event: ComparisonEvent): Promise<void> {
    switch (event.type) {
      case "method":
        this.close();
        this.#output.out(`\n${event.number} of ${event.of}: ${event.method}\n`);
        this.#run = new RunDisplay(this.#output);
        return;
      case "run":
        // The end of a single run with its answers would fill the screen: the table says it in a line.
        if (event.event.type === "finished") return this.close();
        return await this.#run?.show(event.event);
      case "row":
        this.close();
        return this.#output.out(`${event.row.method}: ${summary(event.row)}\n`);
      case "failed":
        this.close();
        return this.#output.err(
          `warning: ${event.row.method} did not come to an end: ${event.row.error}\n${event.row.hint === undefined ? "" : `hint: ${event.row.hint}\n`}`,
        );
      case "compared":
        return this.#output.out(`\n${comparisonText(event.comparison)}\n\ncomparison: ${event.folder}\npage: ${event.page}\n`);
    }
  }

  close(): void {
    this.#run?.close();
    this.#run = undefined;
  }
}

function summary({ lossBefore, lossAfter, steps, seconds, peakBytes }: ComparisonRow): string {
  const loss = lossAfter === null ? "" : `held-out loss ${lossBefore?.toFixed(4)} before, ${lossAfter.toFixed(4)} after; `;
  return `${loss}${steps} steps in ${formatDuration(seconds)}, peak ${formatBytes(peakBytes)}`;
}

/** The table of a comparison, best first, with a bar for each loss. */
export function comparisonText({ rows }: Comparison): string {
  const losses = rows.flatMap(({ lossAfter }) => (lossAfter === null ? [] : [lossAfter]));
  const most = Math.max(...losses);
  const bar = (loss: number | null): string => (loss === null ? "" : "█".repeat(Math.max(1, Math.round((BAR * loss) / most))).padEnd(BAR));
  return formatTable([
    ["method", "loss before", "after", "", "trained", "kept", "peak memory", "tokens/s", "time", "rate"],
    ...ranked(rows).map((row) => [
      row.method,
      row.lossBefore?.toFixed(4) ?? "–",
      row.lossAfter?.toFixed(4) ?? "–",
      bar(row.lossAfter),
      formatCount(row.trainableParameters),
      formatBytes(row.resultBytes),
      formatBytes(row.peakBytes),
      formatFigure(row.tokensPerSecond),
      formatDuration(row.seconds),
      String(row.learningRate),
    ]),
  ]);
}

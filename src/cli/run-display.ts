/** Shows a training run on the terminal: a bar that is drawn over itself where that is possible, plain lines otherwise. */
import type { SingleBar } from "cli-progress";
import { formatBytes, formatCount, formatDuration, formatFigure } from "../base/units.ts";
import type { DataSummary, TrainEvent } from "../train/events.ts";
import type { Output } from "./output.ts";
import { formatTable, indent } from "./table.ts";

type Of<K extends TrainEvent["type"]> = Extract<TrainEvent, { readonly type: K }>;

/** Plain step lines in a run, about. */
const LINES = 20;

export class RunDisplay {
  readonly #output: Output;
  #bar: SingleBar | undefined;
  #preparing = "";
  #totalSteps = 0;
  #doneHere = 0;
  #secondsHere = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  /** Takes the next event of a run. */
  async show(event: TrainEvent): Promise<void> {
    switch (event.type) {
      case "preparing":
        return this.#prepare(event);
      case "started":
        this.#totalSteps = event.totalSteps;
        return this.#line(
          `${whatIsDone(event)} on ${event.device}: ${formatCount(event.trainableParameters)} of ` +
            `${formatCount(event.totalParameters)} parameters, ${event.totalSteps} steps`,
        );
      case "resumed":
        this.#totalSteps = event.totalSteps;
        return this.#line(`${whatIsDone(event)}, going on after step ${event.step} of ${event.totalSteps}`);
      case "data":
        this.#line(`training data: ${summaryText(event.train)}`);
        return event.validation ? this.#line(`held-out data: ${summaryText(event.validation)}`) : undefined;
      case "forecast":
        return this.#line(
          `forecast: ${formatBytes(event.peakBytes)} of memory (${formatBytes(event.availableBytes)} available); one micro-step takes ` +
            `${formatDuration(event.microStepSeconds)}, ${formatFigure(event.tokensPerSecond)} tokens/s, about ${formatDuration(event.totalSeconds)} in all`,
        );
      case "samples":
        // Those of before and after are shown side by side when all is done.
        return event.when === "during"
          ? this.#line(
              event.samples.map(({ prompt, answer }) => indent(`${prompt} ${answer}`, `  sample at step ${event.step}: `, this.#output.columns)).join("\n"),
            )
          : undefined;
      case "step":
        return await this.#step(event);
      case "evaluation":
        return this.#line(
          `${event.step === 0 ? "before" : `step ${event.step}`}: validation loss ${event.loss.toFixed(4)}, perplexity ${formatFigure(event.perplexity)}${event.bitsPerByte === undefined ? "" : `, ${event.bitsPerByte.toFixed(4)} bits per byte`}${event.best ? " (best so far)" : ""}`,
        );
      case "checkpoint":
        return;
      case "warning":
        this.close();
        this.#output.err(`warning: ${event.message}\n${event.hint === undefined ? "" : `hint: ${event.hint}\n`}`);
        return;
      case "stopped":
        this.close();
        return this.#output.err(`stopped after step ${event.step}; everything is saved\n`);
      case "finished":
        this.close();
        return this.#finish(event);
    }
  }

  /** Takes the bar off the terminal. */
  close(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #prepare(event: Of<"preparing">): void {
    if (event.work !== this.#preparing) this.#line(`${event.work} ...`);
    this.#preparing = event.work;
    if (this.#output.live && event.done > 0) this.#output.err(event.done < 1 ? `\r${Math.round(100 * event.done)}% ` : "\r     \r");
  }

  async #step(event: Of<"step">): Promise<void> {
    this.#doneHere++;
    this.#secondsHere += event.seconds;
    const left = ((this.#totalSteps - event.step) * this.#secondsHere) / this.#doneHere;
    const figures = `loss ${event.loss.toFixed(4)}, ${formatFigure(event.tokensPerSecond)} tokens/s, ${formatDuration(left)} left`;
    if (this.#output.live) {
      this.#bar ??= await startBar(this.#totalSteps, event.step - 1);
      this.#bar.update(event.step, { figures });
      return;
    }
    if (event.step === this.#totalSteps || this.#doneHere % Math.max(1, Math.ceil(this.#totalSteps / LINES)) === 0 || this.#doneHere === 1) {
      this.#output.out(
        `step ${event.step}/${this.#totalSteps}: ${figures}, rate ${formatFigure(event.learningRate)}, gradient ${formatFigure(event.gradientNorm)}\n`,
      );
    }
  }

  #finish(event: Of<"finished">): void {
    const out = (text: string): void => this.#output.out(text);
    out(
      `done: ${event.step} steps in ${formatDuration(event.seconds)}${event.reason === "patience" ? ", stopped early" : ""}; the weights of step ${event.keptStep} are kept\n`,
    );
    out(`memory: ${event.forecastBytes === null ? "" : `forecast ${formatBytes(event.forecastBytes)}, `}peak ${formatBytes(event.peakBytes)}\n`);
    if (event.forecastTokensPerSecond !== null) {
      out(`speed:  forecast ${formatFigure(event.forecastTokensPerSecond)} tokens/s, steps did ${formatFigure(event.tokensPerSecond)} tokens/s\n`);
    }
    if (event.lossBefore !== null && event.lossAfter !== null) {
      const { lossBefore, lossAfter, bitsPerByteBefore, bitsPerByteAfter } = event;
      out(
        `\n${formatTable([
          ["held-out examples", "before", "after"],
          ["loss (nats per token)", lossBefore.toFixed(4), lossAfter.toFixed(4)],
          ["perplexity", formatFigure(Math.exp(lossBefore)), formatFigure(Math.exp(lossAfter))],
          ...(bitsPerByteBefore === null || bitsPerByteAfter === null ? [] : [["bits per byte", bitsPerByteBefore.toFixed(4), bitsPerByteAfter.toFixed(4)]]),
        ])}\n`,
      );
    }
    for (const { prompt, reference, before, after } of event.samples) {
      const parts = [
        ["prompt: ", prompt],
        ["before: ", before],
        ["after:  ", after],
        ["wanted: ", reference],
      ] as const;
      const lines = parts.flatMap(([name, text]) => (text === null ? [] : [indent(text, name, this.#output.columns)]));
      out(`\n${lines.join("\n")}\n`);
    }
    const isAdapter = /[\\/]adapter$/.test(event.result);
    const source = isAdapter ? `--model ${quoted(event.model)} --adapter ${quoted(event.result)}` : `--model ${quoted(event.result)}`;
    out(`\nresult: ${event.result}\nreport: ${event.report}\nchat:   npx mini-giants chat ${source}\n`);
  }

  /** Prints a line; the bar makes room for it and is drawn anew below. */
  #line(text: string): void {
    this.close();
    this.#output.out(`${text}\n`);
  }
}

async function startBar(total: number, done: number): Promise<SingleBar> {
  // Loaded only where a bar can be drawn.
  const { default: progress } = await import("cli-progress");
  const bar = new progress.SingleBar(
    {
      format: "{bar} {value}/{total} {figures}",
      barsize: 24,
      hideCursor: true,
      clearOnComplete: true,
      stopOnComplete: false,
      linewrap: false,
      gracefulExit: false,
      stream: process.stderr,
    },
    progress.Presets.shades_classic,
  );
  bar.start(total, done, { figures: "" });
  return bar;
}

function whatIsDone({ model, method }: { readonly model: string; readonly method: string }): string {
  return method === "pretrain" ? `pretraining ${model}` : `tuning ${model} by ${method}`;
}

function summaryText(data: DataSummary): string {
  const extras = [
    [data.truncated, "truncated"],
    [data.dropped, "dropped for their length"],
    [data.unlabelled, "without an answer left out"],
  ] as const;
  const counted = extras.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  const labelled = `${formatCount(data.tokens)} tokens, ${formatCount(data.labelledTokens)} of them trained on`;
  return [`${data.file} (${data.format}), ${data.examples} examples`, labelled, ...counted].join(", ");
}

function quoted(path: string): string {
  return /^[\w./\\:@%+=-]+$/.test(path) ? path : JSON.stringify(path);
}

/** `report.html`: the report as one page that needs nothing from outside. */
import { formatBytes, formatCount, formatDifference, formatDuration, formatFigure } from "../base/units.ts";
import { escapeHtml, htmlPage } from "../chart/page.ts";
import { svgChart } from "../chart/svg-chart.ts";
import type { RecordedEvent } from "./events.ts";
import type { Report } from "./report.ts";
import { lastName } from "./report-text.ts";

/** The page for a report and the events it was gathered from. */
export function reportPage(report: Report, events: readonly RecordedEvent[]): string {
  const { validation, training, memory, data } = report;
  const figure = (value: number | undefined): string => (value === undefined ? "–" : escapeHtml(value.toFixed(4)));
  const rows = (pairs: readonly (readonly [string, string])[]): string =>
    pairs.map(([name, value]) => `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`).join("");
  const heldOut =
    validation.before === null && validation.after === null
      ? ""
      : `
<h2>Held-out examples, before and after</h2>
<table><tr><th></th><th class="number">before</th><th class="number">after</th></tr>
<tr><th>loss, nats per token</th><td class="number">${figure(validation.before?.loss)}</td><td class="number">${figure(validation.after?.loss)}</td></tr>
<tr><th>perplexity</th><td class="number">${figure(validation.before?.perplexity)}</td><td class="number">${figure(validation.after?.perplexity)}</td></tr>${bitsPerByteRow(validation)}</table>`;
  const title = `${lastName(report.model)}, ${report.method === "pretrain" ? "pretrained" : `tuned by ${report.method}`}`;
  return htmlPage(
    title,
    `<h1>${escapeHtml(title)}</h1>
${heldOut}
<h2>Loss</h2>
${lossCurve(events)}
${sampleTable(report)}
<h2>The run</h2>
<table>${rows([
      [
        "steps",
        `${training.steps} (${formatFigure(training.epochs)} epochs); weights of step ${training.keptStep} kept${training.reason === "patience" ? "; stopped early" : ""}`,
      ],
      ["parameters", `${formatCount(report.trainableParameters)} trained of ${formatCount(report.totalParameters)}`],
      ["tokens", `${formatCount(training.tokens)}, ${formatCount(training.labelledTokens)} of them trained on`],
      ["time", `${formatDuration(training.seconds)}, ${formatFigure(training.tokensPerSecond)} tokens/s on ${report.device}`],
      ...(training.forecastSeconds === null || training.forecastTokensPerSecond === null
        ? []
        : [
            [
              "forecast of the steps",
              `${formatDuration(training.forecastSeconds)}, ${formatFigure(training.forecastTokensPerSecond)} tokens/s${differenceText(training.forecastSeconds, training.seconds)}`,
            ] as const,
          ]),
      [
        "memory",
        `${memory.forecastBytes === null ? "no forecast" : `forecast ${formatBytes(memory.forecastBytes)}`}, peak ${formatBytes(memory.peakBytes)}${memory.forecastBytes === null ? "" : differenceText(memory.forecastBytes, memory.peakBytes)}`,
      ],
      ...(data.train === null ? [] : [["training data", summaryText(data.train)] as const]),
      ...(data.validation === null ? [] : [["held-out data", summaryText(data.validation)] as const]),
    ])}</table>`,
  );
}

function bitsPerByteRow({ before, after }: Report["validation"]): string {
  if (before?.bitsPerByte === undefined && after?.bitsPerByte === undefined) return "";
  const cell = (bits: number | undefined): string => `<td class="number">${bits === undefined ? "–" : bits.toFixed(4)}</td>`;
  return `\n<tr><th>bits per byte</th>${cell(before?.bitsPerByte)}${cell(after?.bitsPerByte)}</tr>`;
}

function summaryText(data: NonNullable<Report["data"]["train"]>): string {
  const extras = [
    [data.truncated, "truncated"],
    [data.dropped, "dropped"],
    [data.unlabelled, "without an answer left out"],
  ] as const;
  const counted = extras.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return [`${data.file} (${data.format}): ${data.examples} examples, ${formatCount(data.tokens)} tokens`, ...counted].join(", ");
}

function sampleTable(report: Report): string {
  if (report.samples.length === 0) return "";
  const cell = (text: string | null): string => `<td class="text">${text === null ? "–" : escapeHtml(text)}</td>`;
  const rows = report.samples.map((sample) => `<tr>${cell(sample.prompt)}${cell(sample.before)}${cell(sample.after)}</tr>`).join("\n");
  return `<h2>Answers</h2><table><tr><th>prompt</th><th>before</th><th>after</th></tr>\n${rows}</table>`;
}

/** Steps that are drawn at most: more than the drawing has columns. */
const DRAWN_STEPS = 2000;

/** Every so many points, and the last. */
function thinned(points: readonly [number, number][]): [number, number][] {
  const every = Math.ceil(points.length / DRAWN_STEPS);
  return points.filter((_, i) => i % every === 0 || i === points.length - 1);
}

/** Training loss per step and held-out loss as an SVG drawing. */
function lossCurve(events: readonly RecordedEvent[]): string {
  const points = (type: "step" | "evaluation"): [number, number][] =>
    events.flatMap((event) => (event.type === type ? [[event.step, event.loss] as [number, number]] : []));
  const train = thinned(points("step"));
  const held = points("evaluation");
  if (train.length + held.length === 0) return `<p class="soft">No step was done.</p>`;
  return svgChart({
    label: "loss by step",
    x: { label: "step", whole: true, format: formatCount },
    y: { label: "loss, nats per token", format: formatFigure },
    layers: [
      ...(train.length === 0 ? [] : [{ kind: "line", name: "training", ink: "second", points: train } as const]),
      ...(held.length === 0
        ? []
        : [
            { kind: "line", name: "held-out examples", ink: "first", strong: true, points: held } as const,
            { kind: "dots", ink: "first", points: held } as const,
          ]),
    ],
  });
}

/** How far a forecast was off, in brackets. */
function differenceText(forecast: number, actual: number): string {
  return actual > 0 ? ` (forecast ${formatDifference(forecast / actual - 1)})` : "";
}

/** `report.html`: the report as one page that needs nothing from outside. */
import { formatBytes, formatCount, formatDifference, formatDuration, formatFigure } from "../base/units.ts";
import type { RecordedEvent } from "./events.ts";
import type { Report } from "./report.ts";

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2530; --soft: #69737f; --line: #d8dde3; --paper: #fff; --train: #9db4cc; --held: #c2410c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4af; --line: #39424d; --paper: #14181d; --train: #53708f; --held: #fb923c; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .4rem .7rem .4rem 0; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; } .soft { color: var(--soft); }
.text { white-space: pre-wrap; overflow-wrap: anywhere; } svg { width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--soft); }
`;

/** The page for a report and the events it was gathered from. */
export function reportPage(report: Report, events: readonly RecordedEvent[]): string {
  const { validation, training, memory, data } = report;
  const figure = (value: number | undefined): string => (value === undefined ? "–" : escape(value.toFixed(4)));
  const rows = (pairs: readonly (readonly [string, string])[]): string =>
    pairs.map(([name, value]) => `<tr><th>${escape(name)}</th><td>${escape(value)}</td></tr>`).join("");
  const heldOut =
    validation.before === null && validation.after === null
      ? ""
      : `
<h2>Held-out examples, before and after</h2>
<table><tr><th></th><th class="number">before</th><th class="number">after</th></tr>
<tr><th>loss, nats per token</th><td class="number">${figure(validation.before?.loss)}</td><td class="number">${figure(validation.after?.loss)}</td></tr>
<tr><th>perplexity</th><td class="number">${figure(validation.before?.perplexity)}</td><td class="number">${figure(validation.after?.perplexity)}</td></tr>${bitsPerByteRow(validation)}</table>`;
  const title = escape(`${lastName(report.model)}, ${report.method === "pretrain" ? "pretrained" : `tuned by ${report.method}`}`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${STYLE}</style></head><body>
<h1>${title}</h1>
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
  ])}</table>
</body></html>
`;
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
  const cell = (text: string | null): string => `<td class="text">${text === null ? "–" : escape(text)}</td>`;
  const rows = report.samples.map((sample) => `<tr>${cell(sample.prompt)}${cell(sample.before)}${cell(sample.after)}</tr>`).join("\n");
  return `<h2>Answers</h2><table><tr><th>prompt</th><th>before</th><th>after</th></tr>\n${rows}</table>`;
}

/** Training loss per step and held-out loss as an SVG drawing. */
function lossCurve(events: readonly RecordedEvent[]): string {
  const points = (type: "step" | "evaluation"): [number, number][] =>
    events.flatMap((event) => (event.type === type ? [[event.step, event.loss] as [number, number]] : []));
  const train = points("step");
  const held = points("evaluation");
  const all = [...train, ...held];
  if (all.length === 0) return `<p class="soft">No step was done.</p>`;
  const [width, height, left, bottom, top] = [800, 260, 48, 24, 12];
  const maxStep = Math.max(1, ...all.map(([step]) => step));
  const low = Math.min(...all.map(([, loss]) => loss));
  const high = Math.max(...all.map(([, loss]) => loss), low + 1e-6);
  const x = (step: number): number => left + (step / maxStep) * (width - left - 8);
  const y = (loss: number): number => top + (1 - (loss - low) / (high - low)) * (height - top - bottom);
  const path = (line: readonly [number, number][]): string =>
    line.map(([step, loss], i) => `${i === 0 ? "M" : "L"}${x(step).toFixed(1)} ${y(loss).toFixed(1)}`).join("");
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="loss by step">
<path d="M${left} ${top}V${height - bottom}H${width - 8}" fill="none" stroke="var(--line)"/>
<path d="${path(train)}" fill="none" stroke="var(--train)" stroke-width="1.5"/>
<path d="${path(held)}" fill="none" stroke="var(--held)" stroke-width="2"/>
${held.map(([step, loss]) => `<circle cx="${x(step).toFixed(1)}" cy="${y(loss).toFixed(1)}" r="3.5" fill="var(--held)"/>`).join("")}
<text x="${left - 6}" y="${top + 8}" text-anchor="end">${formatFigure(high)}</text><text x="${left - 6}" y="${height - bottom}" text-anchor="end">${formatFigure(low)}</text>
<text x="${left}" y="${height - 6}">0</text><text x="${width - 8}" y="${height - 6}" text-anchor="end">step ${maxStep}</text></svg>
<p class="soft">Thin: training loss of each step. Strong: loss on held-out examples.</p>`;
}

/** How far a forecast was off, in brackets. */
function differenceText(forecast: number, actual: number): string {
  return actual > 0 ? ` (forecast ${formatDifference(forecast / actual - 1)})` : "";
}

function lastName(path: string): string {
  return path.split(/[\\/]/).findLast((part) => part !== "") ?? path;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

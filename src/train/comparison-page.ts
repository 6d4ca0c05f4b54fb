/** `comparison.html`: methods side by side as one page that needs nothing from outside. */
import { formatBytes, formatCount, formatDuration, formatFigure } from "../base/units.ts";
import { type Axis, type Chart, type Layer, LINE_INKS } from "../chart/chart.ts";
import { escapeHtml, htmlPage } from "../chart/page.ts";
import { svgChart } from "../chart/svg-chart.ts";
import { type Comparison, type ComparisonRow, ranked } from "./comparison.ts";
import { formatShare, lastName } from "./report-text.ts";

/** Prompts whose answers are shown. */
const SHOWN_PROMPTS = 3;

/** The page of a comparison. */
export function comparisonPage(comparison: Comparison): string {
  const { model, data, seed, budget, machine, rows, failed } = comparison;
  const title = `${lastName(model)}: ${rows.length} ways of tuning, side by side`;
  const heldOut =
    budget.heldOutExamples === 0
      ? "Nothing was held out to measure."
      : `Loss is measured on ${budget.heldOutExamples} held-out examples (${formatCount(budget.heldOutTokens)} tokens of answers), in nats per token; lower is better.`;
  return htmlPage(
    title,
    `<h1>${escapeHtml(title)}</h1>
<p>Every method saw the same ${formatCount(budget.examples)} examples of <code>${escapeHtml(lastName(data))}</code> in the same order, with seed ${seed}:
${formatCount(budget.steps)} steps of ${budget.batchSize * budget.gradientAccumulation} sequences, ${formatFigure(budget.epochs)} epochs, ${formatCount(budget.labelledTokens)} tokens trained on. ${heldOut}
Each ran in a process of its own on ${escapeHtml(machine.processor)} (${machine.device}, ${machine.threads} ${machine.threads === 1 ? "thread" : "threads"}).</p>
${table(rows)}
${failed.map(({ method, error }) => `<p><b>${escapeHtml(method)}</b> did not come to an end: ${escapeHtml(error)}</p>`).join("\n")}
<p class="soft">“Trained” is the part of all parameters that learns; “kept” is the size of what is saved. Peak memory is the most that the run's process held. A method that does not begin as the bare model begins from another loss. Learning rates are each method's own.</p>
${charts(rows)}
${answers(rows)}`,
  );
}

interface Column {
  readonly title: string;
  readonly text: (row: ComparisonRow) => string;
  /** Drawn as a bar under the figure, as a part of the column's greatest. */
  readonly size?: (row: ComparisonRow) => number;
  /** The one that is best is pointed out. */
  readonly best?: "least" | "most";
}

const COLUMNS: readonly Column[] = [
  { title: "loss before", text: ({ lossBefore }) => lossBefore?.toFixed(4) ?? "–" },
  { title: "after", text: ({ lossAfter }) => lossAfter?.toFixed(4) ?? "–", size: ({ lossAfter }) => lossAfter ?? 0, best: "least" },
  {
    title: "trained",
    text: ({ trainableParameters, totalParameters }) => `${formatCount(trainableParameters)} (${formatShare(trainableParameters / totalParameters)})`,
    size: ({ trainableParameters }) => trainableParameters,
    best: "least",
  },
  { title: "kept", text: ({ resultBytes }) => formatBytes(resultBytes), size: ({ resultBytes }) => resultBytes, best: "least" },
  { title: "peak memory", text: ({ peakBytes }) => formatBytes(peakBytes), size: ({ peakBytes }) => peakBytes, best: "least" },
  { title: "tokens/s", text: ({ tokensPerSecond }) => formatFigure(tokensPerSecond), size: ({ tokensPerSecond }) => tokensPerSecond, best: "most" },
  { title: "time", text: ({ seconds }) => formatDuration(seconds), size: ({ seconds }) => seconds, best: "least" },
  { title: "rate", text: ({ learningRate }) => String(learningRate) },
];

function table(rows: readonly ComparisonRow[]): string {
  const cell = ({ text, size, best }: Column, row: ComparisonRow): string => {
    if (size === undefined) return `<td class="number">${escapeHtml(text(row))}</td>`;
    const sizes = rows.map(size).filter((value) => value > 0);
    const isBest = best !== undefined && rows.length > 1 && size(row) === (best === "least" ? Math.min(...sizes) : Math.max(...sizes));
    const width = Math.round((100 * size(row)) / Math.max(...sizes));
    return `<td class="number${isBest ? " best" : ""}">${escapeHtml(text(row))}<span class="bar" style="width: ${width}%"></span></td>`;
  };
  const head = `<tr><th>method</th>${COLUMNS.map(({ title }) => `<th class="number">${title}</th>`).join("")}</tr>`;
  const lines = ranked(rows).map((row) => `<tr><th>${escapeHtml(row.method)}</th>${COLUMNS.map((column) => cell(column, row)).join("")}</tr>`);
  return `<table>${head}\n${lines.join("\n")}</table>`;
}

/** The colour and the form that a method has in all charts. */
function styleOf(index: number): { readonly ink: (typeof LINE_INKS)[number]; readonly other: boolean } {
  return { ink: LINE_INKS[index % LINE_INKS.length]!, other: index >= LINE_INKS.length };
}

/** Held-out loss by step, one line per method. */
export function curvesChart(rows: readonly ComparisonRow[]): Chart {
  return {
    label: "held-out loss by step, by method",
    x: { label: "step", whole: true, format: formatCount },
    y: { label: "held-out loss, nats per token", format: formatFigure },
    layers: rows.map((row, i): Layer => {
      const { ink, other } = styleOf(i);
      return { kind: "line", name: row.method, ink, points: row.curve, strong: true, dashed: other };
    }),
  };
}

/** Held-out loss at the end over some cost, one dot per method. */
function costChart(rows: readonly ComparisonRow[], x: Axis, cost: (row: ComparisonRow) => number): Chart {
  return {
    label: `held-out loss over ${x.label}, by method`,
    x,
    y: { label: "held-out loss, nats per token", format: formatFigure },
    layers: rows.flatMap((row, i): Layer[] => {
      const { ink, other } = styleOf(i);
      return row.lossAfter === null ? [] : [{ kind: "dots", name: row.method, ink, points: [[cost(row), row.lossAfter]], open: other }];
    }),
  };
}

function charts(rows: readonly ComparisonRow[]): string {
  const measured = rows.filter(({ lossAfter }) => lossAfter !== null);
  if (measured.length === 0) return "";
  return `<h2>How each learns</h2>
${svgChart(curvesChart(measured))}
<h2>What a lower loss costs</h2>
${svgChart(costChart(measured, { label: "parameters trained", logarithmic: true, format: formatCount }, ({ trainableParameters }) => trainableParameters))}
${svgChart(costChart(measured, { label: "peak memory, MiB", format: formatFigure }, ({ peakBytes }) => peakBytes / 2 ** 20))}
${svgChart(costChart(measured, { label: "seconds of training", format: formatFigure }, ({ seconds }) => seconds))}`;
}

/** What the methods answer to the same held-out prompts. */
function answers(rows: readonly ComparisonRow[]): string {
  const [first] = rows;
  if (first === undefined || first.samples.length === 0) return "";
  const line = (who: string, text: string | null): string =>
    `<tr><th>${escapeHtml(who)}</th><td class="text">${text === null ? "–" : escapeHtml(text)}</td></tr>`;
  const parts = first.samples.slice(0, SHOWN_PROMPTS).map(({ prompt, reference, before }, i) => {
    const said = ranked(rows).map((row) => line(row.method, row.samples[i]?.after ?? null));
    return `<h3 class="text">${escapeHtml(prompt)}</h3>\n<table>${reference === null ? "" : line("as it should be", reference)}${line("before tuning", before)}\n${said.join("\n")}</table>`;
  });
  return `<h2>What they answer</h2>\n${parts.join("\n")}`;
}

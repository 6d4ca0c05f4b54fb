/** What a plan says: tables with their notes, and charts; for the terminal, and as a folder with a page. */
import { join } from "node:path";
import { GiantError } from "../base/errors.ts";
import type { Chart } from "../chart/chart.ts";
import { kindOf } from "../io/folder.ts";
import type { CommandContext } from "./command.ts";
import type { PlanOutputOptions } from "./plan-options.ts";
import { formatTable, indent } from "./table.ts";

export interface PlanSection {
  readonly title: string;
  /** The first row names the columns. */
  readonly rows?: readonly (readonly string[])[];
  readonly chart?: {
    readonly chart: Chart;
    /** The chart's file in the folder. */ readonly file: string;
    /** A simpler one for the terminal. */ readonly terminal?: Chart;
  };
  readonly notes?: readonly string[];
}

export interface PlanAnswer {
  readonly title: string;
  readonly sections: readonly PlanSection[];
  /** Everything as data. */
  readonly facts: unknown;
}

/** Refuses a folder that is there already; before anything is computed. */
export async function refuseExisting(path: string | undefined): Promise<void> {
  if (path === undefined || (await kindOf(path)) === undefined) return;
  throw new GiantError("file", `${path}: it exists already`, { hint: "Name a new folder by --output.", facts: { path } });
}

/** Prints an answer and writes its folder where one is named. */
export async function giveAnswer(answer: PlanAnswer, { output: folder, json }: PlanOutputOptions, { output }: CommandContext): Promise<void> {
  if (json) output.out(`${JSON.stringify(answer.facts, null, 2)}\n`);
  else output.out(await answerText(answer, output.columns));
  if (folder === undefined) return;
  await writeFolder(answer, folder);
  output.err(`plan: ${join(folder, "plan.html")}\n`);
}

async function answerText({ title, sections }: PlanAnswer, columns: number): Promise<string> {
  const { terminalChart } = await import("../chart/terminal-chart.ts");
  const text = ({ title: heading, rows, chart, notes }: PlanSection): string =>
    [
      heading,
      rows === undefined ? [] : formatTable(rows),
      chart === undefined ? [] : terminalChart(chart.terminal ?? chart.chart, columns).trimEnd(),
      notes?.map((note) => indent(note, "· ", columns)) ?? [],
    ]
      .flat()
      .join("\n");
  return `${[title, ...sections.map(text)].join("\n\n")}\n`;
}

async function writeFolder(answer: PlanAnswer, folder: string): Promise<void> {
  const [{ replaceFolderAtomic, writeFileAtomic }, { svgChart, svgFile }, { escapeHtml, figureTable, htmlPage }] = await Promise.all([
    import("../io/atomic.ts"),
    import("../chart/svg-chart.ts"),
    import("../chart/page.ts"),
  ]);
  const html = ({ title, rows, chart, notes = [] }: PlanSection): string =>
    [
      `<h2>${escapeHtml(title)}</h2>`,
      rows === undefined ? [] : figureTable(rows),
      chart === undefined ? [] : svgChart(chart.chart),
      notes.map((note) => `<p class="soft">${escapeHtml(note)}</p>`),
    ]
      .flat()
      .join("\n");
  const page = htmlPage(answer.title, [`<h1>${escapeHtml(answer.title)}</h1>`, ...answer.sections.map(html)].join("\n"));
  await replaceFolderAtomic(folder, async (temporary) => {
    await writeFileAtomic(join(temporary, "plan.json"), `${JSON.stringify(answer.facts, null, 2)}\n`);
    for (const { chart } of answer.sections) if (chart) await writeFileAtomic(join(temporary, chart.file), svgFile(chart.chart));
    await writeFileAtomic(join(temporary, "plan.html"), page);
  });
}

/**
 * Tunes pebble on questions about stories as the demonstration does, exactly, with frozen layers in int8, and exactly with
 * another seed as a yardstick; draws the three curves (bench/fast-curve.svg) and writes the table of bench/RESULTS.md.
 * A run whose folder is complete is not done again.
 */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs, promisify } from "node:util";
import type { Ink, Point } from "../src/chart/chart.ts";
import { svgFile } from "../src/chart/svg-chart.ts";
import type { RecordedEvent } from "../src/train/events.ts";
import { replaceSection } from "./step-process.ts";

const { values } = parseArgs({
  options: {
    folder: { type: "string", default: join(tmpdir(), "mini-giants-bench", "fast-curve") },
    results: { type: "string", default: resolve("bench/RESULTS.md") },
    chart: { type: "string", default: resolve("bench/fast-curve.svg") },
    /** Steps that a point of the smoothed curve is the mean of. */
    smooth: { type: "string", default: "20" },
  },
});

interface Run {
  readonly name: string;
  readonly ink: Ink;
  readonly options: readonly string[];
}

const RUNS: readonly Run[] = [
  { name: "exact", ink: "second", options: ["--compute", "exact", "--seed", "42"] },
  { name: "fast", ink: "first", options: ["--compute", "fast", "--seed", "42"] },
  { name: "exact, another seed", ink: "third", options: ["--compute", "exact", "--seed", "43"] },
];

interface Course {
  readonly losses: readonly number[];
  readonly smoothed: readonly number[];
  readonly before: number;
  readonly after: number;
  readonly answers: string;
}

const run = promisify(execFile);
const courses = new Map<string, Course>();
for (const { name, options } of RUNS) {
  const folder = join(values.folder, name.replaceAll(/\W+/g, "-"));
  const cache = join(values.folder, "int8");
  if (!(await eventsOf(folder)).some(({ type }) => type === "finished")) {
    await run(process.execPath, ["dist/cli/main.js", "demo", "--output", folder, "--device", "cpu", "--int8-cache", cache, ...options], {
      maxBuffer: 1 << 26,
    });
  }
  courses.set(name, await courseOf(folder));
}
const exact = courses.get("exact")!;
const rows = RUNS.map(({ name }) => {
  const { losses, smoothed, before, after, answers } = courses.get(name)!;
  const apart = smoothed.map((loss, i) => Math.abs(loss - exact.smoothed[i]!));
  const cells = [name, losses.length, smoothed.at(-1)!.toFixed(4), before.toFixed(4), after.toFixed(4), Math.max(...apart).toFixed(4), answers];
  return `| ${cells.join(" | ")} |`;
});
await writeFile(
  values.chart,
  svgFile({
    label: "Training loss of pebble on questions about stories: exact, fast, and exact with another seed",
    x: { label: "step", whole: true, format: String },
    y: { label: `loss, mean of ${values.smooth} steps`, format: (loss) => loss.toFixed(1) },
    layers: RUNS.map(({ name, ink }) => ({
      kind: "line",
      name,
      ink,
      points: courses.get(name)!.smoothed.map((loss, i): Point => [i + Number(values.smooth), loss]),
    })),
  }),
);
await replaceSection(values.results, "fast-curve", [
  "| run | steps | training loss at the end | held-out loss before | after | largest distance of the smoothed curve from exact | held-out answers |",
  "|---|---|---|---|---|---|---|",
  ...rows,
]);
console.log(rows.join("\n"));

async function eventsOf(folder: string): Promise<RecordedEvent[]> {
  const text = await readFile(join(folder, "events.jsonl"), "utf8").catch(() => "");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as RecordedEvent);
}

async function courseOf(folder: string): Promise<Course> {
  const events = await eventsOf(folder);
  const losses = events.flatMap((event) => (event.type === "step" ? [event.loss] : []));
  const width = Number(values.smooth);
  const smoothed = losses.slice(width - 1).map((_, i) => losses.slice(i, i + width).reduce((a, b) => a + b, 0) / width);
  const evaluations = events.flatMap((event) => (event.type === "evaluation" ? [event.loss] : []));
  const { stdout } = await run(process.execPath, [join(import.meta.dirname, "answers.js"), join(folder, "adapter")]);
  const answers = stdout
    .trim()
    .split("\n")
    .at(-1)!
    .replace(/^.*?: /, "");
  return { losses, smoothed, before: evaluations[0]!, after: Math.min(...evaluations), answers };
}

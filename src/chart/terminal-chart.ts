/** A chart in the characters of a terminal, by simple-ascii-chart. */
import plot from "simple-ascii-chart";
import { extent, logarithmicTicks, type Axis, type Chart, type Point } from "./chart.ts";

const HEIGHT = 12; // lines
const LABEL_ROOM = 12; // columns beside the y axis

/** Lines and marks of a chart in at most `columns` columns; where it has dots and no line, the dots. */
export function terminalChart(chart: Chart, columns: number): string {
  const place = ([x, y]: Point): [number, number] => [onAxis(chart.x, x), onAxis(chart.y, y)];
  const marks = chart.layers.flatMap((layer) => (layer.kind === "mark" ? [layer] : []));
  const lines = chart.layers.flatMap((layer) => (layer.kind === "line" && layer.points.length > 0 ? [layer.points.map(place)] : []));
  const dots = chart.layers.flatMap((layer) =>
    layer.kind === "dots" ? layer.points.map(place) : layer.kind === "shaded" ? layer.points.map(([x, y]) => place([x, y])) : [],
  );
  const drawn = lines.length > 0 ? lines : [dots];
  const xs = drawn.flat().map(([x]) => x);
  if (xs.length === 0) return "";
  const ticks = chart.x.logarithmic === true ? logarithmicTicks(...(extent(xs).map((x) => 10 ** x) as [number, number])).map(Math.log10) : undefined;
  const text = plot(drawn, {
    width: Math.max(20, Math.min(76, columns - LABEL_ROOM)),
    height: HEIGHT,
    mode: lines.length > 0 ? "line" : "point",
    points: marks.map(({ point }) => ({ x: place(point)[0], y: place(point)[1] })),
    symbols: { point: "●" },
    formatter: (value, { axis }) => (axis === "x" ? valueOn(chart.x, value) : valueOn(chart.y, value)),
    ...(ticks === undefined ? {} : { customXAxisTicks: ticks }),
  });
  const words = [`${chart.y.label} over ${chart.x.label}`, ...marks.map(({ label }) => `● ${label}`)].join("   ");
  return `${words}\n${text
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "")
    .join("\n")}\n`;
}

function onAxis(axis: Axis, value: number): number {
  return axis.logarithmic === true ? Math.log10(value) : value;
}

function valueOn(axis: Axis, place: number): string {
  return axis.format(axis.logarithmic === true ? 10 ** place : place);
}

/** A chart as an SVG drawing, by Observable Plot on a document that lives in memory. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { extent, logarithmicTicks, pointsOf, type Chart, type Ink, type Layer } from "./chart.ts";
import { INK_STYLE } from "./page.ts";

const WIDTH = 800; // of the drawing's own units; a page scales it
const HEIGHT = 340;
const TICKS = 6; // along an axis, about
const LEGEND_LINE = 18;
const LETTER = 6.6; // mean width of a letter at 12 units

type Shade = (figure: number) => string;

interface LegendEntry {
  readonly text: string;
  readonly colour: string;
}

/** A chart as a file of its own: it names its format and brings the colours that it is drawn in. */
export function svgFile(chart: Chart): string {
  const svg = draw(chart);
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  svg.insertAdjacentHTML("afterbegin", `<style>${INK_STYLE}</style>`);
  return `${svg.outerHTML}\n`;
}

/** A chart as an element of a page of `htmlPage`, in the page's colours. */
export function svgChart(chart: Chart): string {
  return draw(chart).outerHTML;
}

/** What is used of an element; the compiler knows no documents here. */
interface SvgElement {
  readonly outerHTML: string;
  setAttribute(name: string, value: string): void;
  insertAdjacentHTML(where: string, html: string): void;
}

function draw(chart: Chart): SvgElement {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const all = chart.layers.flatMap(pointsOf);
  const range = (at: 0 | 1): [number, number] => extent(all.map((point) => point[at]));
  const shade = shadesOf(chart.layers.flatMap((layer) => (layer.kind === "shaded" ? layer.points.map(([, , figure]) => figure) : [])));
  // The axis's own label would stand where the legend does, so it opens the legend.
  const legend = layOut([{ text: `↑ ${chart.y.label}`, colour: colourOf("soft") }, ...chart.layers.flatMap((layer) => legendOf(layer, shade))]);
  const scale = (axis: Chart["x"], [least, most]: [number, number]): Plot.ScaleOptions => ({
    label: axis.label,
    type: axis.logarithmic === true ? "log" : "linear",
    tickFormat: axis.format as (value: unknown) => string,
    // One value alone, as after a single step, still needs a span to stand in.
    domain: least === most ? (axis.logarithmic === true ? [least / 2, most * 2] : [least - 0.5, most + 0.5]) : [least, most],
    ticks: axis.logarithmic === true && most > least ? logarithmicTicks(least, most) : axis.whole === true ? Math.max(1, Math.min(TICKS, most - least)) : TICKS,
  });
  const svg = Plot.plot({
    document: document as never,
    className: "chart",
    width: WIDTH,
    height: HEIGHT + legend.lines * LEGEND_LINE,
    marginTop: 16 + legend.lines * LEGEND_LINE,
    marginLeft: 64,
    marginRight: 24,
    marginBottom: 42,
    style: { fontSize: "12px", background: "none", color: colourOf("soft") },
    x: scale(chart.x, range(0)),
    y: { ...scale(chart.y, range(1)), label: null, grid: true, nice: chart.y.logarithmic !== true },
    color: { type: "identity" },
    marks: [...chart.layers.flatMap((layer) => marksOf(layer, shade)), ...legend.entries.map(({ text, colour, dx, dy }) => legendMark(text, colour, dx, dy))],
  }) as unknown as SvgElement;
  svg.setAttribute("role", "img");
  // Of an attribute linkedom writes only the quotes as references.
  svg.setAttribute("aria-label", chart.label.replaceAll("&", "&amp;").replaceAll("<", "&lt;"));
  return svg;
}

function colourOf(ink: Ink): string {
  return `var(--${ink})`;
}

function marksOf(layer: Layer, shade: Shade): Plot.Markish[] {
  switch (layer.kind) {
    case "line":
      return [
        Plot.line(points(layer.points), {
          stroke: layer.figure === undefined ? colourOf(layer.ink) : shade(layer.figure),
          strokeWidth: layer.strong === true ? 2.5 : 1.5,
          ...(layer.dashed === true && { strokeDasharray: "6 4" }),
        }),
      ];
    case "dots":
      return [
        Plot.dot(points(layer.points), layer.open === true ? { stroke: colourOf(layer.ink), strokeWidth: 2, r: 3.5 } : { fill: colourOf(layer.ink), r: 3.5 }),
      ];
    case "shaded": {
      const placed = layer.points.map(([x, y, figure]) => ({ x, y, shade: shade(figure) }));
      return [Plot.dot(placed, { x: "x", y: "y", fill: "shade", r: 3, fillOpacity: 0.85 })];
    }
    case "mark":
      return [
        Plot.dot(points([layer.point]), { fill: colourOf(layer.ink), r: 5 }),
        Plot.text(points([layer.point]), { text: [layer.label], dy: -14, fill: colourOf("plain"), stroke: colourOf("paper"), strokeWidth: 4 }),
      ];
    case "level":
      return [Plot.ruleY([layer.y], { stroke: colourOf(layer.ink) })];
  }
}

function points(pairs: readonly (readonly [number, number])[]): [number, number][] {
  return pairs.map(([x, y]) => [x, y]);
}

/** Hues of one lightness, which show on light and on dark paper, from violet for the least to orange for the most. */
function shadesOf(figures: readonly number[]): Shade {
  const [least, most] = extent(figures).map(Math.log) as [number, number];
  return (figure) => `hsl(${Math.round(265 - 245 * (most > least ? (Math.log(figure) - least) / (most - least) : 0))} 65% 55%)`;
}

function legendOf(layer: Layer, shade: Shade): LegendEntry[] {
  switch (layer.kind) {
    case "line":
      return layer.figure === undefined ? [{ text: `${layer.dashed === true ? "╌" : "━"} ${layer.name}`, colour: colourOf(layer.ink) }] : [];
    case "dots":
      return layer.name === undefined ? [] : [{ text: `${layer.open === true ? "○" : "●"} ${layer.name}`, colour: colourOf(layer.ink) }];
    case "shaded": {
      const figures = layer.points.map(([, , figure]) => figure);
      const [least, most] = extent(figures);
      return [least, Math.sqrt(least * most), most].map((figure) => ({ text: `● ${layer.format(figure)}`, colour: shade(figure) }));
    }
    default:
      return [];
  }
}

/** Legend entries one behind the other in as many lines as they need. */
function layOut(entries: readonly LegendEntry[]): { readonly lines: number; readonly entries: (LegendEntry & { readonly dx: number; readonly dy: number })[] } {
  let [line, x] = [0, 0];
  const placed = entries.map((entry) => {
    const width = (entry.text.length + 3) * LETTER;
    if (x > 0 && x + width > WIDTH - 90) [line, x] = [line + 1, 0];
    const at = { ...entry, dx: x, line };
    x += width;
    return at;
  });
  const lines = line + 1;
  return { lines, entries: placed.map(({ line: own, ...entry }) => ({ ...entry, dy: -12 - (lines - 1 - own) * LEGEND_LINE })) };
}

function legendMark(text: string, colour: string, dx: number, dy: number): Plot.Markish {
  return Plot.text([text], { frameAnchor: "top-left", lineAnchor: "bottom", dx, dy, fill: colour });
}

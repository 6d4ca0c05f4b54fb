import { describe, expect, test } from "vitest";
import { logarithmicTicks, type Chart } from "./chart.ts";
import { figureTable, htmlPage } from "./page.ts";
import { svgChart, svgFile } from "./svg-chart.ts";
import { terminalChart } from "./terminal-chart.ts";

const chart: Chart = {
  label: 'a <valley> & "more"',
  x: { label: "size", logarithmic: true, format: (value) => `${value / 1e6}M` },
  y: { label: "loss", format: (value) => value.toFixed(1) },
  layers: [
    { kind: "line", name: "the <law>", ink: "first", points: Array.from({ length: 21 }, (_, i) => [1e6 * 10 ** (i / 5), (i - 10) ** 2 / 20 + 2]) },
    { kind: "mark", label: "optimum: 100M", ink: "first", point: [1e8, 2] },
    { kind: "level", ink: "soft", y: 3 },
    { kind: "dots", name: "runs", ink: "second", points: [[1e7, 4]] },
    {
      kind: "shaded",
      format: String,
      points: [
        [1e7, 3, 10],
        [1e9, 5, 1000],
      ],
    },
  ],
};

describe("drawings", () => {
  test("every layer is drawn and named, in the page's colours and with nothing from outside", () => {
    const svg = svgChart(chart);
    for (const text of ["↑ loss", "━ the &lt;law&gt;", "● runs", "● 10", "● 100", "● 1000", "optimum: 100M", "100M", "10000M"])
      expect(svg).toContain(`>${text}</text>`);
    expect(svg).toContain('aria-label="a &lt;valley> &amp; &quot;more&quot;"');
    expect(svg.match(/<circle /g)).toHaveLength(4);
    expect(svg).toContain("var(--first)");
    expect(svg).not.toMatch(/NaN|undefined|https?:|<script|href=/);
  });

  test("as a file it names its format and brings its colours, light and dark", () => {
    const svg = svgFile(chart);
    expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(svg).toContain("prefers-color-scheme: dark");
  });

  test("one point alone still has room", () => {
    for (const logarithmic of [true, false]) {
      const lone: Chart = { ...chart, x: { ...chart.x, logarithmic }, layers: [{ kind: "dots", ink: "first", points: [[1, 2]] }] };
      expect(svgChart(lone)).not.toMatch(/NaN|undefined/);
    }
  });

  test("whole numbers are counted whole", () => {
    const steps: Chart = {
      ...chart,
      x: { label: "step", whole: true, format: String },
      layers: [
        {
          kind: "dots",
          ink: "first",
          points: [
            [0, 1],
            [3, 2],
          ],
        },
      ],
    };
    expect([...svgChart(steps).matchAll(/>(\d(?:\.\d)?)<\/text>/g)].map(([, text]) => text).filter((text) => !text!.includes("."))).toEqual([
      "0",
      "1",
      "2",
      "3",
    ]);
  });
});

describe("in a terminal", () => {
  test("the line, its mark and both axes", () => {
    const text = terminalChart(chart, 80);
    const lines = text.trimEnd().split("\n");
    expect(lines[0]).toBe("loss over size   ● optimum: 100M");
    expect(lines.filter((line) => line.includes("●"))).toHaveLength(2);
    expect(lines.at(-1)).toMatch(/10M .*100M .*1000M/);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  });

  test("dots where there is no line, and nothing where there is nothing", () => {
    expect(terminalChart({ ...chart, layers: chart.layers.filter(({ kind }) => kind === "shaded") }, 80)).toContain("●");
    expect(terminalChart({ ...chart, layers: [] }, 80)).toBe("");
  });
});

test("ticks of a logarithmic axis are few and round", () => {
  expect(logarithmicTicks(2e6, 3e7)).toEqual([2e6, 3e6, 5e6, 7e6, 1e7, 2e7, 3e7]);
  expect(logarithmicTicks(1, 1e4)).toEqual([1, 10, 100, 1000, 1e4]);
  expect(logarithmicTicks(1, 1e16)).toEqual([1, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12, 1e14, 1e16]);
});

test("pages escape what they are given", () => {
  const page = htmlPage(
    "a <b>",
    figureTable([
      ["", "x"],
      ["<i>", "1"],
    ]),
  );
  expect(page).toContain("<title>a &lt;b&gt;</title>");
  expect(page).toContain('<td>&lt;i&gt;</td><td class="number">1</td>');
});

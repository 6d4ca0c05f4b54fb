/** What a chart shows, without how it is drawn: axes and layers of points, for the terminal and for pages alike. */

/** The colours that a page gives its charts; each has a light and a dark shade. */
export type Ink = "plain" | "paper" | "soft" | "first" | "second" | "third" | "fourth" | "fifth" | "sixth" | "seventh" | "eighth";

/** Inks that tell one line from the next. */
export const LINE_INKS: readonly Ink[] = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"];

export interface Axis {
  readonly label: string;
  readonly logarithmic?: boolean;
  /** True where there is nothing between whole numbers. */
  readonly whole?: boolean;
  /** How a value is written beside the axis. */
  readonly format: (value: number) => string;
}

export type Point = readonly [x: number, y: number];

export type Layer =
  | {
      readonly kind: "line";
      readonly name: string;
      readonly ink: Ink;
      readonly points: readonly Point[];
      readonly strong?: boolean;
      /** Tells apart lines of one colour. */
      readonly dashed?: boolean;
      /** Takes the colour that the shaded dots give to this figure, and stands in no legend. */
      readonly figure?: number;
    }
  /** Dots stand in the legend where they have a name; open ones are rings. */
  | { readonly kind: "dots"; readonly name?: string; readonly ink: Ink; readonly points: readonly Point[]; readonly open?: boolean }
  /** Dots whose colour says a third, positive figure, on a logarithmic scale. */
  | {
      readonly kind: "shaded";
      readonly points: readonly (readonly [x: number, y: number, figure: number])[];
      readonly format: (figure: number) => string;
    }
  /** One point that is pointed out, with its words beside it. */
  | { readonly kind: "mark"; readonly label: string; readonly ink: Ink; readonly point: Point }
  /** A horizontal line at a value. */
  | { readonly kind: "level"; readonly ink: Ink; readonly y: number };

export interface Chart {
  /** What a reader who cannot see it is told. */
  readonly label: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly layers: readonly Layer[];
}

/** The points of a layer, without their figures. */
export function pointsOf(layer: Layer): readonly Point[] {
  switch (layer.kind) {
    case "mark":
      return [layer.point];
    case "level":
      return [];
    case "shaded":
      return layer.points.map(([x, y]) => [x, y]);
    default:
      return layer.points;
  }
}

/** The least and the greatest of any number of values; of none, ±Infinity. */
export function extent(values: readonly number[]): [least: number, most: number] {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return [least, most];
}

/** Round values of a logarithmic axis: powers of ten over many decades, 1-2-5 over few. */
export function logarithmicTicks(least: number, most: number): number[] {
  if (!(least > 0 && most < Infinity)) return [];
  const decades = Math.log10(most / least);
  const within: number[] = [];
  const steps = decades > 3 ? [1] : decades > 1.2 ? [1, 3] : [1, 2, 3, 5, 7];
  const everySo = Math.max(1, Math.ceil(decades / 8));
  for (let power = Math.floor(Math.log10(least)); power <= Math.log10(most); power++) {
    if (power % everySo !== 0) continue;
    within.push(...steps.map((step) => step * 10 ** power).filter((value) => value >= least && value <= most));
  }
  return within;
}

/** Shapes whose dimensions may be symbols ("B", "T"), products ("B*T") or sums ("(P+T)") known only when a graph runs. */
import { invariant } from "../base/errors.ts";

/** A number, or a canonical expression: a product of sorted symbols with the number first, sums in parentheses. */
export type Dim = number | string;
export type Shape = readonly Dim[];

/** What each symbol stands for in one run. */
export type Bindings = ReadonlyMap<string, number>;

/** The pieces of a text between separators that stand in no parentheses. */
function splitOutside(text: string, separator: "*" | "+"): string[] {
  const pieces: string[] = [];
  let [depth, start] = [0, 0];
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "(") depth++;
    else if (text[i] === ")") depth--;
    else if (text[i] === separator && depth === 0) {
      pieces.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return [...pieces, text.slice(start)];
}

/** The terms of a dimension; one that is no sum is its only term. */
export function terms(dim: Dim): readonly Dim[] {
  if (typeof dim === "number" || !dim.startsWith("(") || splitOutside(dim, "*").length > 1) return [dim];
  return splitOutside(dim.slice(1, -1), "+").map(asDim);
}

function factors(dim: Dim): { coefficient: number; symbols: string[] } {
  if (typeof dim === "number") return { coefficient: dim, symbols: [] };
  const parts = splitOutside(dim, "*");
  const head = Number(parts[0]);
  return Number.isInteger(head) ? { coefficient: head, symbols: parts.slice(1) } : { coefficient: 1, symbols: parts };
}

/** The product of dimensions in canonical form, so that equal products are equal strings. */
export function product(dims: Shape): Dim {
  let coefficient = 1;
  const symbols: string[] = [];
  for (const dim of dims) {
    const f = factors(dim);
    coefficient *= f.coefficient;
    symbols.push(...f.symbols);
  }
  if (symbols.length === 0 || coefficient === 0) return coefficient;
  symbols.sort();
  return coefficient === 1 ? symbols.join("*") : `${coefficient}*${symbols.join("*")}`;
}

/** The sum of dimensions in canonical form; with symbols it becomes an expression of its own, e.g. "(P+2*T+8)". */
export function total(dims: Shape): Dim {
  let number = 0;
  const coefficients = new Map<string, number>();
  for (const dim of dims.flatMap(terms)) {
    const { coefficient, symbols } = factors(dim);
    if (symbols.length === 0) number += coefficient;
    else coefficients.set(symbols.join("*"), (coefficients.get(symbols.join("*")) ?? 0) + coefficient);
  }
  const parts = [...coefficients].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([symbols, coefficient]) => product([coefficient, symbols]));
  if (parts.length === 0) return number;
  if (number === 0 && parts.length === 1) return parts[0]!;
  return `(${[...parts, ...(number === 0 ? [] : [String(number)])].join("+")})`;
}

/** The value of a dimension under bindings of its symbols. */
export function evaluate(dim: Dim, bindings: Bindings): number {
  if (typeof dim === "number") return dim;
  const bound = bindings.get(dim);
  if (bound !== undefined) return bound;
  const summed = terms(dim);
  if (summed.length > 1) return summed.reduce<number>((sum, part) => sum + evaluate(part, bindings), 0);
  const { coefficient, symbols } = factors(dim);
  invariant(!(coefficient === 1 && symbols.length === 1), `dimension ${dim} is not bound to a number`);
  return symbols.reduce((value, symbol) => value * evaluate(symbol, bindings), coefficient);
}

function asDim(text: string): Dim {
  const number = Number(text);
  return Number.isInteger(number) ? number : text;
}

/** Adds what a known size of a dimension tells about its symbols: "4*Q" = 512 tells that Q is 128. */
export function bind(dim: Dim, size: number, bindings: Map<string, number>): void {
  if (typeof dim === "number") return;
  bindings.set(dim, size);
  const { coefficient, symbols } = factors(dim);
  if (coefficient !== 1 && symbols.length === 1) bindings.set(symbols[0]!, size / coefficient);
}

/** The symbols and sums a dimension is made of, for an emitter that computes it at run time. */
export function parts(dim: Dim): { readonly coefficient: number; readonly symbols: readonly string[] } {
  return factors(dim);
}

/** "[B, T, 64]". */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** The shape two tensors have together after broadcasting (NumPy's rule); a dimension of 1 stretches. */
export function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  const result: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    invariant(x === y || x === 1 || y === 1, `shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast`);
    result.push(x === 1 ? y : x);
  }
  return result;
}

/** A dimension that must be a plain number. */
export function numeric(dim: Dim | undefined, what: string): number {
  invariant(typeof dim === "number", `${what} must be a number, is ${String(dim)}`);
  return dim;
}

/** An axis counted from the end when negative, as a plain index. */
export function axisOf(axis: number, rank: number): number {
  const index = axis < 0 ? axis + rank : axis;
  invariant(index >= 0 && index < rank, `axis ${axis} is outside a tensor of rank ${rank}`);
  return index;
}

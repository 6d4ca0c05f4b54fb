/** Bytes, durations and counts as people write and read them. */
import { GiantError } from "./errors.ts";

const BYTE_UNITS: readonly (readonly [suffix: string, bytes: number])[] = [
  ["tib", 2 ** 40],
  ["gib", 2 ** 30],
  ["mib", 2 ** 20],
  ["kib", 2 ** 10],
  ["tb", 1e12],
  ["gb", 1e9],
  ["mb", 1e6],
  ["kb", 1e3],
  ["t", 2 ** 40],
  ["g", 2 ** 30],
  ["m", 2 ** 20],
  ["k", 2 ** 10],
  ["b", 1],
  ["", 1],
];

/** Reads an amount of memory: `4GB` (10^9), `4GiB` or `4g` (2^30), `4096`; throws a usage error otherwise. */
export function parseBytes(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  const unit = match && BYTE_UNITS.find(([suffix]) => suffix === match[2]!.toLowerCase());
  if (!match || !unit) {
    throw new GiantError("usage", `${JSON.stringify(text)} is not an amount of memory`, { hint: "Write it as 800MB, 4GB or 4GiB." });
  }
  return Math.round(Number(match[1]) * unit[1]);
}

/** An amount of memory for people: `512 B`, `1.5 MiB`, `4.0 GiB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  for (const [name, size] of [
    ["TiB", 2 ** 40],
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
  ] as const) {
    if (bytes >= size) return `${(bytes / size).toFixed(1)} ${name}`;
  }
  return `${(bytes / 1024).toFixed(1)} KiB`;
}

/** A duration for people, two units at most: `850 ms`, `12.3 s`, `4 min 05 s`, `3 h 20 min`, `2 d 4 h`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "unknown";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const hours = Math.round(whole / 3600);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A count for people: `950`, `12.3k`, `135M`, `7.24B`, `1.4T`; three significant digits, and powers of ten beyond. */
export function formatCount(count: number): string {
  if (count >= 1e15) return formatPower(count);
  for (const [size, suffix] of [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    if (count >= size * 0.9995) return `${trimZeros((count / size).toPrecision(3))}${suffix}`;
  }
  return String(Math.round(count));
}

/** An amount over many magnitudes, with three significant digits and a power of ten from a million on: `5.76e23`. */
export function formatPower(value: number): string {
  if (value < 1e6) return formatCount(value);
  const [figure, power] = value.toExponential(2).split("e+");
  return `${trimZeros(figure!)}e${power}`;
}

/** Reads a count: `1000`, `10k`, `1.5M`, `2B`, `1.4T`, `5.76e23`; throws a usage error otherwise. */
export function parseCount(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?(?:e\+?\d+)?)\s*([kmbt]?)\s*$/i.exec(text);
  const count = match ? Math.round(Number(match[1]) * { "": 1, k: 1e3, m: 1e6, b: 1e9, t: 1e12 }[match[2]!.toLowerCase()]!) : NaN;
  if (!Number.isFinite(count)) throw new GiantError("usage", `${JSON.stringify(text)} is not a count`, { hint: "Write it as 1000, 10k, 1.5M or 5.76e23." });
  return count;
}

/** A rate or a figure with three significant digits and no exponent: `0.0312`, `14.2`, `1530`. */
export function formatFigure(value: number): string {
  if (!Number.isFinite(value) || value === 0) return String(value);
  if (Math.abs(value) >= 100) return String(Math.round(value));
  return Math.abs(value) >= 1e-4 ? value.toPrecision(3) : value.toExponential(2);
}

function trimZeros(figure: string): string {
  return figure.includes(".") ? figure.replace(/\.?0+$/, "") : figure;
}

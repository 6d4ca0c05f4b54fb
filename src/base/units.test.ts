import { describe, expect, test } from "vitest";
import { formatBytes, formatCount, formatDuration, formatFigure, formatPower, parseBytes, parseCount } from "./units.ts";

describe("units", () => {
  test("amounts of memory are read with decimal and binary units", () => {
    expect(parseBytes("4096")).toBe(4096);
    expect(parseBytes("4GB")).toBe(4e9);
    expect(parseBytes("1.5 GiB")).toBe(1.5 * 2 ** 30);
    expect(parseBytes("2g")).toBe(2 ** 31);
    expect(() => parseBytes("plenty")).toThrow("is not an amount of memory");
    expect(() => parseBytes("-1GB")).toThrow("is not an amount of memory");
  });
  test("amounts of memory are written short", () => {
    expect([0, 1023, 1536, 5 * 2 ** 20, 3.25 * 2 ** 30].map(formatBytes)).toEqual(["0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.3 GiB"]);
  });
  test("durations carry two units at most", () => {
    expect([0.0123, 0.9996, 12.34, 59.96, 245, 3599.9, 12_000, 187_000].map(formatDuration)).toEqual([
      "12 ms",
      "1.0 s",
      "12.3 s",
      "1 min 00 s",
      "4 min 05 s",
      "1 h 00 min",
      "3 h 20 min",
      "2 d 4 h",
    ]);
    expect(formatDuration(Infinity)).toBe("unknown");
  });
  test("counts carry three significant digits and are read back", () => {
    expect([0, 950, 12_345, 999_900, 134_515_008, 7_241_732_096, 1.4e12, 5.76e23].map(formatCount)).toEqual([
      "0",
      "950",
      "12.3k",
      "1M",
      "135M",
      "7.24B",
      "1.4T",
      "5.76e23",
    ]);
    expect(["1000", "10k", "1.5M", "2b", "1.4T", "5.76e23", "1E+9"].map(parseCount)).toEqual([1000, 10_000, 1_500_000, 2e9, 1.4e12, 5.76e23, 1e9]);
    expect([3, 950_000, 1e6, 5.76e23].map(formatPower)).toEqual(["3", "950k", "1e6", "5.76e23"]);
    expect(() => parseCount("many")).toThrow("is not a count");
  });
  test("figures carry three significant digits", () => {
    expect([0, 0.031249, 14.21, 1530.4, 0.0000051].map(formatFigure)).toEqual(["0", "0.0312", "14.2", "1530", "5.10e-6"]);
  });
});

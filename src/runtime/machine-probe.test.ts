import { expect, test } from "vitest";
import { probeMachine } from "./machine-probe.ts";
import { startEngine } from "./worker-engine.ts";

test("the probe gives a positive figure for everything a forecast asks for", async () => {
  const engine = await startEngine({ device: "cpu", threads: 1 });
  const { device, threads, products, elementwise, movement, ...rates } = await probeMachine(engine);
  await engine.close();
  expect([device, threads]).toEqual(["cpu", 1]);
  const figures = [
    ...Object.values(products).flatMap(({ flopsPerSecond, bytesPerSecond }) => [flopsPerSecond, bytesPerSecond]),
    ...[...elementwise, ...movement].flatMap((each) => Object.values(each)),
    ...Object.values(rates),
  ];
  expect(figures).toHaveLength(3 * 2 + 2 * (elementwise.length + movement.length) + 5);
  for (const { seconds } of Object.values(products)) expect(seconds).toBeGreaterThanOrEqual(0); // what the rates explain already counts no further
  for (const figure of figures) expect(figure).toBeGreaterThan(0);
  for (const figure of figures) expect(Number.isFinite(figure)).toBe(true);
}, 60_000);

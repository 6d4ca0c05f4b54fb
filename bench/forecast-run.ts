/** One tuning run as `mini-giants tune` does it, or the figures of the machine; prints one JSON line. */
import { probeMachine } from "../src/runtime/machine-probe.ts";
import { startEngine } from "../src/runtime/worker-engine.ts";
import { nodePlatform } from "../src/train/node-platform.ts";
import { tune } from "../src/train/tune.ts";
import type { TuneOptions } from "../src/train/tune-options.ts";
import { median } from "./statistics.ts";

const [what, given = "{}"] = process.argv.slice(2);
console.log(JSON.stringify(what === "machine" ? await machine(Number(given)) : await run(JSON.parse(given) as Partial<TuneOptions>)));

async function machine(threads: number): Promise<unknown> {
  const engine = await startEngine({ device: "cpu", threads });
  const figures = await probeMachine(engine);
  await engine.close();
  return figures;
}

async function run(options: Partial<TuneOptions>): Promise<unknown> {
  const seconds: number[] = [];
  const measured: Record<string, unknown> = {};
  for await (const event of tune(options, nodePlatform())) {
    if (event.type === "forecast") Object.assign(measured, { forecastBytes: event.peakBytes, parts: event.parts, microStepSeconds: event.microStepSeconds });
    if (event.type === "step") seconds.push(event.seconds);
    if (event.type === "finished") measured["peakBytes"] = event.peakBytes;
  }
  // The first step opens the update's program.
  return { ...measured, seconds: median(seconds.slice(1)), fastest: Math.min(...seconds) };
}

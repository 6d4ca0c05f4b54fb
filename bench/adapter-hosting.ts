/**
 * What many adapters on one base cost: milliseconds of loading and of switching, and memory with each further adapter.
 *
 * Usage: npm run bench:hosting -- [--adapters N] [MODEL ...]
 */
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { AdapterHost, type AdapterSelection } from "../src/generate/adapter-host.ts";
import { lora } from "../src/peft/lora.ts";
import { LORA_DEFAULTS } from "../src/peft/lora-config.ts";
import { startEngine } from "../src/runtime/worker-engine.ts";
import { newAdapter } from "../src/workbench/adapter.ts";
import { openModel } from "../src/workbench/open-model.ts";
import { openTokenizer } from "../src/workbench/open-tokenizer.ts";
import { saveAdapter } from "../src/workbench/save-adapter.ts";
import { FORECAST_MODELS } from "./forecast-scenarios.ts";
import { writeRandomModel } from "./forecast-inputs.ts";
import { median } from "./statistics.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    adapters: { type: "string", default: "8" },
    threads: { type: "string", default: "2" },
    folder: { type: "string", default: join(tmpdir(), "mini-giants-bench") },
  },
});

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

async function timed<T>(work: () => Promise<T>): Promise<[ms: number, result: T]> {
  const start = performance.now();
  const result = await work();
  return [performance.now() - start, result];
}

/**
 * Physical memory once garbage is gone, where Node was started with --expose-gc. Linux's proportional set: weights that two
 * programs map count once, where the resident set counts them for each.
 */
function heldBytes(): number {
  (globalThis as { gc?: () => void }).gc?.();
  const share = /^Pss:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"));
  if (share === null) throw new Error("/proc/self/smaps_rollup has no Pss");
  return Number(share[1]) * 1024;
}

async function measure(folder: string): Promise<void> {
  const engine = await startEngine({ device: "cpu", threads: Number(values.threads) });
  const model = await openModel(folder);
  const host = new AdapterHost(engine, model, openTokenizer(model));
  const prompt = [5, 6, 7, 8];
  const write = (adapters: AdapterSelection): Promise<unknown> => host.write(prompt, { adapters, maxTokens: 2, greedy: true, seed: 1 });
  await write([]);
  const method = lora(LORA_DEFAULTS, model.inventory, model.architecture.head);
  const bytes = [...method.tensors.values()].reduce((sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b, 1), 0);
  const count = Number(values.adapters);
  const folderOf = (i: number): string => join(values.folder, `${basename(folder)}-hosted-${i}`);
  for (let i = 0; i < count; i++) await saveAdapter(folderOf(i), await newAdapter(method, model, i), model);
  const loading: number[] = [];
  const memory: number[] = [heldBytes()];
  const [firstLoad] = await timed(() => host.load("0", folderOf(0)));
  const [first] = await timed(() => write([{ name: "0" }]));
  memory.push(heldBytes());
  for (let i = 1; i < count; i++) {
    loading.push((await timed(() => host.load(String(i), folderOf(i))))[0]);
    await write([{ name: String(i) }]);
    memory.push(heldBytes());
  }
  const switching: number[] = [];
  const answering: number[] = [];
  const again: number[] = [];
  const writer = await host.writer([{ name: "0" }]);
  for (let i = 0; i < 4 * count; i++) {
    const [ms, other] = await timed(() => host.writer([{ name: String(i % count) }]));
    switching.push(ms);
    await other.close();
    answering.push((await timed(() => write([{ name: String(i % count) }])))[0]);
    again.push((await timed(() => writer.write([5 + (i % 2), 6, 7, 8], { maxTokens: 2, greedy: true, seed: 1 })))[0]);
  }
  await writer.close();
  const sum = (weight: number): AdapterSelection => [
    { name: "0", weight },
    { name: "1", weight: 1 - weight },
  ];
  const [firstSum] = await timed(() => write(sum(0.5)));
  const weighing: number[] = [];
  for (let i = 0; i < 10; i++) weighing.push((await timed(() => host.writer(sum(i / 7)).then((each) => each.close())))[0]);
  console.log(`\n${basename(folder)}: base ${megabytes(model.weightBytes)} MB, LoRA r=16 on all linear layers ${megabytes(bytes)} MB an adapter`);
  console.log(`load the first ${firstLoad.toFixed(1)} ms, another ${median(loading).toFixed(1)} ms (read, check against the base, upload)`);
  console.log(`first answer of 2 tokens with a graph not yet open ${first.toFixed(1)} ms; of a sum of two ${firstSum.toFixed(1)} ms`);
  console.log(`switch ${median(switching).toFixed(3)} ms; to other weights of a sum ${median(weighing).toFixed(3)} ms`);
  console.log(`2 tokens after a switch ${median(answering).toFixed(1)} ms, without one ${median(again).toFixed(1)} ms`);
  const growth = memory.slice(2).map((each, i) => each - memory[i + 1]!);
  console.log(
    `memory: base ${megabytes(memory[0]!)} MB, with one adapter's graph ${megabytes(memory[1]!)} MB, then ${megabytes(median(growth))} MB an adapter`,
  );
  console.log(`${host.programCount} programs for ${count} adapters, a sum and the bare base`);
  const before = heldBytes();
  for (const name of host.names) await host.unload(name);
  await write([]);
  console.log(`unloading all: ${host.programCount} program left, ${megabytes(before - heldBytes())} MB given back`);
  await host.close();
  await engine.close();
}

const large = join(values.folder, "llama-135m");
if (positionals.length === 0) await writeRandomModel(large, FORECAST_MODELS["llama-135m"]!, "F32");
for (const folder of positionals.length > 0 ? positionals : [resolve("models/pebble"), large]) await measure(folder);

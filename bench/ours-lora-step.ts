/** One training run of a model folder with mini-giants, LoRA from an adapter folder or any method from its start; prints one JSON line of measurements, as bench/peers/lora_step.py. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startEngine } from "../src/runtime/worker-engine.ts";
import { createLearner } from "../src/train/graph-learner.ts";
import { ADAMW } from "../src/train/step-graph.ts";
import { resolveOptions } from "../src/base/options.ts";
import { METHOD_OPTIONS } from "../src/train/methods/method-options.ts";
import { METHOD_NAMES, tuningMethod } from "../src/train/methods/tuning-methods.ts";
import { newAdapter } from "../src/workbench/adapter.ts";
import { loadAdapter } from "../src/workbench/load-adapter.ts";
import { openInt8Weights } from "../src/workbench/int8-weights.ts";
import { openTokenizer } from "../src/workbench/open-tokenizer.ts";
import { openBase } from "./base.ts";
import { makeBatch } from "./inputs.ts";
import { median } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    adapter: { type: "string" },
    method: { type: "string" },
    batch: { type: "string", default: "1" },
    length: { type: "string", default: "512" },
    labelled: { type: "string", default: "1" },
    recompute: { type: "boolean", default: false },
    steps: { type: "string", default: "8" },
    warmup: { type: "string", default: "2" },
    threads: { type: "string", default: "2" },
    "learning-rate": { type: "string", default: "1e-4" },
    compute: { type: "string", default: "exact" },
    cache: { type: "string" },
    profile: { type: "string" },
  },
});
const name = METHOD_NAMES.find((each) => each === values.method);
if (values.model === undefined || (values.adapter === undefined && name === undefined)) throw new Error("--model, and --adapter or --method, are needed");

const engine = await startEngine({ device: "cpu", threads: Number(values.threads) });
const model = await openBase(values.model, name);
const adapter =
  name === undefined
    ? await loadAdapter(values.adapter!, model)
    : await newAdapter(tuningMethod(name).make(resolveOptions(METHOD_OPTIONS, {}), model, openTokenizer(model)), model, 1);
const { compute, cache = join(values.model, "..") } = values;
const learner = await createLearner({
  engine,
  model,
  adapter,
  optimizer: ADAMW,
  maxGradNorm: 1,
  // As tune does: who chooses four bits is short of memory.
  recompute: values.recompute || name === "qlora",
  // As tune does.
  packWeights: true,
  ...(compute === "fast" && { int8: await openInt8Weights(model, cache) }),
  longestRow: Number(values.length),
  ...(values.profile !== undefined && { profilePrefix: values.profile }),
});
const batch = makeBatch(Number(values.batch), Number(values.length), Number(values.labelled), model.architecture.vocabSize);
const warmup = Number(values.warmup);
const seconds: number[] = [];
const losses: number[] = [];
for (let step = 0; step < warmup + Number(values.steps); step++) {
  const start = performance.now();
  const { lossSum } = await learner.accumulate(batch, 1 / batch.labelIds.length, step);
  await learner.update(Number(values["learning-rate"]));
  losses.push(lossSum / batch.labelIds.length);
  seconds.push((performance.now() - start) / 1000);
}
const timed = seconds.slice(warmup);
await learner.close();
await engine.close();
console.log(
  JSON.stringify({
    program: "mini-giants",
    trainableParameters: learner.trainableParameters,
    secondsPerStep: median(timed),
    fastestStep: Math.min(...timed),
    tokensPerSecond: (batch.rows * batch.length) / median(timed),
    peakRssBytes: peakRssBytes(),
    losses,
  }),
);

/** The kernel's high-water mark of this process's resident memory. */
function peakRssBytes(): number {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
  if (line === null) throw new Error("/proc/self/status has no VmHWM");
  return Number(line[1]) * 1024;
}

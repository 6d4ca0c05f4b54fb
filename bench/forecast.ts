/**
 * Holds forecasts of memory and time against runs: each of the settings is tuned for a few steps in a process of its own,
 * and the table of bench/RESULTS.md is written anew. The machine is timed right before and right after each run, as `plan --model` does it.
 */
import { execFile } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs, promisify } from "node:util";
import { takeInventory } from "../src/models/architecture.ts";
import { describeModel } from "../src/models/registry.ts";
import type { MachineFigures } from "../src/plan/machine.ts";
import { RunForecaster } from "../src/train/run-programs.ts";
import { plannedMethod, settingOf } from "../src/train/run-setting.ts";
import { writeRandomModel, writeRecords } from "./forecast-inputs.ts";
import { FORECAST_MODELS, FORECAST_SCENARIOS, type ForecastScenario } from "./forecast-scenarios.ts";
import { median } from "./statistics.ts";

interface Measurement {
  readonly forecastBytes: number;
  readonly parts: Readonly<Record<string, number>>;
  readonly peakBytes: number;
  readonly microStepSeconds: number;
  readonly seconds: number;
  readonly fastest: number;
}

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    steps: { type: "string", default: "6" },
    threads: { type: "string", default: "2" },
    folder: { type: "string", default: join(tmpdir(), "mini-giants-bench") },
    results: { type: "string", default: resolve("bench/RESULTS.md") },
    parts: { type: "boolean", default: false },
  },
});

const BEGIN = "<!-- forecast -->";
const END = "<!-- /forecast -->";
const run = promisify(execFile);
const child = join(import.meta.dirname, "forecast-run.js");

for (const scenario of FORECAST_SCENARIOS) {
  if (values.only !== undefined && !values.only.includes(scenario.name)) continue;
  const row = await measure(scenario);
  console.log(row);
  await record(scenario, row);
}

async function measure(scenario: ForecastScenario): Promise<string> {
  const {
    name,
    model,
    dtype = "F32",
    method,
    rank = 16,
    batch,
    length,
    labelled = 1,
    recompute = false,
    pack = true,
    packing = false,
    accumulation = 1,
  } = scenario;
  const config = FORECAST_MODELS[model]!;
  const folder = join(values.folder, "forecast", `${model}-${dtype}`);
  await writeRandomModel(folder, config, dtype);
  const architecture = describeModel(config, folder);
  const steps = Number(values.steps);
  const [data, validation] = [join(folder, `${name}.jsonl`), join(folder, `${name}-held.jsonl`)];
  // Where all tokens count, half of them are the prompt, which is then trained on too.
  const answered = labelled === 1 ? 1 / 2 : labelled;
  await writeRecords(data, steps * batch * accumulation, length, answered, architecture.vocabSize);
  await writeRecords(validation, batch, length, answered, architecture.vocabSize);
  const output = join(values.folder, "forecast", "run");
  await rm(output, { recursive: true, force: true });
  await mkdir(values.folder, { recursive: true });
  const before = await ask<MachineFigures>("machine", values.threads);
  const measured = await ask<Measurement>(
    "run",
    JSON.stringify({
      model: folder,
      data,
      validation,
      output,
      method,
      rank,
      recompute,
      packing,
      maxLength: length,
      batchSize: batch,
      threads: Number(values.threads),
      packWeights: pack,
      trainOn: labelled === 1 ? "all" : "answers",
      gradientAccumulation: accumulation,
      device: "cpu",
      samples: 1,
      sampleTokens: 8,
      memoryLimit: totalmem(),
    }),
  );
  const after = await ask<MachineFigures>("machine", values.threads);
  await rm(output, { recursive: true, force: true });
  const forecaster = new RunForecaster(architecture, () => ({ location: "weights", offset: 0, bytes: 0, storage: dtype }));
  const sizes = {
    batchSize: batch,
    maxLength: length,
    gradientAccumulation: accumulation,
    recompute,
    packWeights: pack,
    labelled,
    loraDropout: 0,
    maxGradNorm: 1,
  };
  const setting = settingOf(plannedMethod(method, rank, { architecture, inventory: takeInventory(architecture) }), {
    ...sizes,
    validation: true,
    samples: 1,
    sampleTokens: 8,
  });
  // Whatever else runs on the machine only slows it down: of two looks the better one says what it can do.
  const step = Math.min(...[before, after].map((machine) => forecaster.seconds(setting, machine).step));
  if (values.parts) console.log(JSON.stringify({ before, after, ...measured, unread: forecaster.memory(setting).peakBytes }));
  const what = [labelled < 1 ? "a third labelled" : "", recompute ? "recompute" : "", pack ? "" : "not packed", packing ? "packing" : ""].filter(
    (word) => word !== "",
  );
  if (accumulation > 1) what.push(`${accumulation} micro-batches`);
  if (dtype !== "F32") what.push(dtype.toLowerCase());
  const cells = [model, method === "lora" ? `lora r=${rank}` : method, `${batch} × ${length}`, what.join(", ") || "–"];
  const { forecastBytes, peakBytes, seconds, fastest } = measured;
  cells.push((forecastBytes / 1e9).toFixed(3), (peakBytes / 1e9).toFixed(3), difference(forecastBytes, peakBytes));
  cells.push(step.toPrecision(3), seconds.toPrecision(3), difference(step, seconds), fastest.toPrecision(3), difference(step, fastest));
  return `| ${name} | ${cells.join(" | ")} |`;
}

function difference(forecast: number, actual: number): string {
  const percent = 100 * (forecast / actual - 1);
  return `${percent >= 0 ? "+" : "−"}${Math.abs(percent).toFixed(1)} %`;
}

async function ask<T>(what: string, given: string): Promise<T> {
  const { stdout } = await run(process.execPath, [child, what, given], { maxBuffer: 1 << 24 });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as T;
}

/** Puts the row in its place between the table's marks; rows of other settings stay as they are. */
async function record(scenario: ForecastScenario, row: string): Promise<void> {
  const text = await readFile(values.results, "utf8");
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${values.results} has no ${BEGIN} … ${END}`);
  const known = new Map(
    text
      .slice(from, to)
      .split("\n")
      .flatMap((line) => {
        const name = /^\| (\S+) \|/.exec(line)?.[1];
        return name === undefined ? [] : [[name, line] as const];
      }),
  );
  known.set(scenario.name, row);
  const rows = FORECAST_SCENARIOS.flatMap(({ name }) => known.get(name) ?? []);
  const errors = (column: number): number[] => rows.map((line) => Number(line.split(" | ")[column]!.replace("−", "-").replace(" %", "").replace(" |", "")));
  const summary = ([what, column]: readonly [string, number]): string => {
    const sizes = errors(column).map(Math.abs);
    return `${what}: median ${median(sizes).toFixed(1)} %, largest ${Math.max(...sizes).toFixed(1)} %`;
  };
  const machine = `${cpus()[0]?.model.trim() ?? "unknown processor"}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB; ${values.threads} threads; Node ${process.versions.node}`;
  const heading = [
    `${machine}. Errors of ${rows.length} settings: ${summary(["memory", 7])}; ${summary(["time beside the median step", 10])}; ${summary(["beside the fastest", 12])}.`,
    "",
    "| setting | model | method | batch × length | besides | forecast GB | peak GB | error | forecast s/step | median s/step | error | fastest s/step | error |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
  ];
  await writeFile(values.results, `${text.slice(0, from)}${BEGIN}\n${[...heading, ...rows].join("\n")}\n${text.slice(to)}`);
}

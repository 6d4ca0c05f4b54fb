/**
 * Times a LoRA step of the SmolLM2-135M shape beside PyTorch and PEFT, in turns and in separate processes on the same inputs,
 * and writes the table of bench/RESULTS.md.
 *
 * The peer runs with the Python that PEER_PYTHON names (torch ≥ 2, transformers, peft) and is reported as absent otherwise.
 */
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { SMOLLM2_135M, writeRandomLlama, writeRandomLora } from "./models.ts";
import { median } from "./statistics.ts";
import { machineLine, measure, type Measurement, replaceSection } from "./step-process.ts";

interface Scenario {
  readonly name: string;
  readonly batch: number;
  readonly length: number;
  readonly labelled: number;
  readonly recompute: boolean;
  /** The peer's number type; ours is always fp32. */
  readonly peerDtype: "fp32" | "bf16";
}

const SCENARIOS: readonly Scenario[] = [
  { name: "1x512", batch: 1, length: 512, labelled: 1, recompute: false, peerDtype: "fp32" },
  { name: "4x256", batch: 4, length: 256, labelled: 1, recompute: false, peerDtype: "fp32" },
  { name: "1x512-recompute", batch: 1, length: 512, labelled: 1, recompute: true, peerDtype: "fp32" },
  { name: "4x256-recompute", batch: 4, length: 256, labelled: 1, recompute: true, peerDtype: "fp32" },
  { name: "4x256-third", batch: 4, length: 256, labelled: 1 / 3, recompute: false, peerDtype: "fp32" },
  { name: "1x512-bf16", batch: 1, length: 512, labelled: 1, recompute: false, peerDtype: "bf16" },
  { name: "4x256-bf16", batch: 4, length: 256, labelled: 1, recompute: false, peerDtype: "bf16" },
];

/** Losses of two fp32 programs over a few steps differ by rounding only; bf16 keeps 8 bits of a number. */
const LOSS_TOLERANCE: Readonly<Record<Scenario["peerDtype"], number>> = { fp32: 1e-4, bf16: 2e-2 };

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    rounds: { type: "string", default: "2" },
    steps: { type: "string", default: "6" },
    warmup: { type: "string", default: "2" },
    threads: { type: "string", default: "2" },
    folder: { type: "string", default: join(tmpdir(), "mini-giants-bench") },
    results: { type: "string", default: resolve("bench/RESULTS.md") },
  },
});

const python = process.env["PEER_PYTHON"];
const [model, adapter] = [join(values.folder, "smollm2-135m"), join(values.folder, "smollm2-135m-lora")];
const child = join(import.meta.dirname, "ours-lora-step.js");
const peerScript = resolve("bench/peers/lora_step.py");

await writeRandomLlama(model, SMOLLM2_135M);
await writeRandomLora(adapter, SMOLLM2_135M, model);
const rows: string[] = [];
let versions: Readonly<Record<string, string>> | undefined;
for (const scenario of SCENARIOS) {
  if (values.only !== undefined && !values.only.includes(scenario.name)) continue;
  const ours: Measurement[] = [];
  const peer: Measurement[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const flags = scenario.recompute ? ["--recompute"] : [];
    ours.push(await measure(process.execPath, child, optionsOf(scenario), flags));
    if (python === undefined) continue;
    peer.push(await measure(python, peerScript, { ...optionsOf(scenario), dtype: scenario.peerDtype }, flags));
  }
  versions ??= peer[0]?.versions;
  if (peer.length > 0) compareLosses(scenario, ours[0]!.losses, peer[0]!.losses);
  const row = tableRow(scenario, ours, peer);
  rows.push(row);
  console.log(row);
}
await replaceSection(values.results, "lora-step", [
  `${machineLine(values.threads, versions)} ${values.rounds} rounds in turns, ${values.steps} steps each after ${values.warmup} of warm-up.`,
  "",
  "| batch × length | labelled | recompute | peer | ours tok/s (best) | ours GB | peer tok/s (best) | peer GB | speed | best speed | memory |",
  "|---|---|---|---|---|---|---|---|---|---|---|",
  ...rows,
]);

function optionsOf({ batch, length, labelled }: Scenario): Record<string, string | number> {
  const { steps, warmup, threads } = values;
  return { model, adapter, batch, length, labelled, steps, warmup, threads };
}

/** A faster program that computes something else is no faster program. */
function compareLosses(scenario: Scenario, ours: readonly number[], peer: readonly number[]): void {
  ours.forEach((loss, step) => {
    const difference = Math.abs(loss - peer[step]!);
    if (!(difference <= LOSS_TOLERANCE[scenario.peerDtype])) {
      throw new Error(`${scenario.name}: loss of step ${step} is ${loss}, the peer's is ${peer[step]}`);
    }
  });
}

function tableRow(scenario: Scenario, ours: readonly Measurement[], peer: readonly Measurement[]): string {
  const what = [`${scenario.batch} × ${scenario.length}`, scenario.labelled === 1 ? "all" : "a third", scenario.recompute ? "yes" : "no", scenario.peerDtype];
  const tokens = scenario.batch * scenario.length;
  const figures = (measured: readonly Measurement[]): readonly [speed: number, best: number, memory: number] => [
    tokens / median(measured.map(({ secondsPerStep }) => secondsPerStep)),
    tokens / Math.min(...measured.map(({ fastestStep }) => fastestStep)),
    Math.max(...measured.map(({ peakRssBytes }) => peakRssBytes)) / 1e9,
  ];
  const [speed, best, memory] = figures(ours);
  const cells = [...what, `${speed.toFixed(0)} (${best.toFixed(0)})`, memory.toFixed(2)];
  if (peer.length === 0) return `| ${[...cells, "absent", "absent", "–", "–", "–"].join(" | ")} |`;
  const [peerSpeed, peerBest, peerMemory] = figures(peer);
  const ratios = [speed / peerSpeed, best / peerBest, memory / peerMemory].map((ratio) => `${ratio.toFixed(2)}×`);
  return `| ${[...cells, `${peerSpeed.toFixed(0)} (${peerBest.toFixed(0)})`, peerMemory.toFixed(2), ...ratios].join(" | ")} |`;
}

/**
 * Times a LoRA step of the SmolLM2-135M shape four ways in turns: ours exact, ours with frozen layers in int8, PyTorch and
 * PEFT in float32 and in bfloat16; each in a process of its own, from the same files and on the same tokens. Writes the table
 * of bench/RESULTS.md.
 *
 * The peer runs with the Python that PEER_PYTHON names (torch ≥ 2, transformers, peft).
 */
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { SMOLLM2_135M, writeRandomLlama, writeRandomLora } from "./models.ts";
import { median } from "./statistics.ts";
import { machineLine, measure, type Measurement, replaceSection } from "./step-process.ts";

const SIZES = [
  { name: "1x512", batch: 1, length: 512 },
  { name: "4x256", batch: 4, length: 256 },
  { name: "4x512", batch: 4, length: 512 },
] as const;

const WAYS = ["ours exact", "ours fast", "PyTorch fp32", "PyTorch bf16"] as const;
type Way = (typeof WAYS)[number];

/** Losses of the same steps may differ by this much: float32 rounds to 24 bits, bfloat16 and int8 to 8. */
const LOSS_TOLERANCE = 2e-2;

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    rounds: { type: "string", default: "3" },
    steps: { type: "string", default: "5" },
    warmup: { type: "string", default: "2" },
    threads: { type: "string", default: "2" },
    folder: { type: "string", default: join(tmpdir(), "mini-giants-bench") },
    results: { type: "string", default: resolve("bench/RESULTS.md") },
  },
});

const python = process.env["PEER_PYTHON"];
if (python === undefined) throw new Error("PEER_PYTHON must name a Python with torch, transformers and peft");
const [model, adapter] = [join(values.folder, "smollm2-135m"), join(values.folder, "smollm2-135m-lora")];
await writeRandomLlama(model, SMOLLM2_135M);
await writeRandomLora(adapter, SMOLLM2_135M, model);
const ours = join(import.meta.dirname, "ours-lora-step.js");
const peer = resolve("bench/peers/lora_step.py");
const cache = join(values.folder, "int8");

const rows: string[] = [];
let versions: Readonly<Record<string, string>> | undefined;
for (const { name, batch, length } of SIZES) {
  if (values.only !== undefined && !values.only.includes(name)) continue;
  const { steps, warmup, threads } = values;
  const options = { model, adapter, batch, length, steps, warmup, threads };
  const runs: Readonly<Record<Way, () => Promise<Measurement>>> = {
    "ours exact": () => measure(process.execPath, ours, options),
    "ours fast": () => measure(process.execPath, ours, { ...options, compute: "fast", cache }),
    "PyTorch fp32": () => measure(python, peer, { ...options, dtype: "fp32" }),
    "PyTorch bf16": () => measure(python, peer, { ...options, dtype: "bf16" }),
  };
  const found = new Map<Way, Measurement[]>(WAYS.map((way) => [way, []]));
  for (let round = 0; round < Number(values.rounds); round++) for (const way of WAYS) found.get(way)!.push(await runs[way]());
  versions ??= found.get("PyTorch fp32")![0]!.versions;
  compareLosses(found);
  rows.push(...tableRows(`${batch} × ${length}`, batch * length, found));
}
await replaceSection(values.results, "fast-step", [
  `${machineLine(values.threads, versions)} ${values.rounds} rounds in turns, ${values.steps} steps each after ${values.warmup} of warm-up.`,
  "",
  "| batch × length | | tok/s (best) | of every round | GB | × PyTorch bf16 | best × best | × ours exact |",
  "|---|---|---|---|---|---|---|---|",
  ...rows,
]);

/** A faster program that computes something else is no faster program. */
function compareLosses(found: ReadonlyMap<Way, readonly Measurement[]>): void {
  const exact = found.get("ours exact")![0]!.losses;
  for (const [way, [first]] of found) {
    exact.forEach((loss, step) => {
      if (!(Math.abs(first!.losses[step]! - loss) <= LOSS_TOLERANCE))
        throw new Error(`${way}: loss of step ${step} is ${first!.losses[step]}, exact is ${loss}`);
    });
  }
}

function tableRows(size: string, tokens: number, found: ReadonlyMap<Way, readonly Measurement[]>): string[] {
  const speed = (way: Way): number => tokens / median(found.get(way)!.map(({ secondsPerStep }) => secondsPerStep));
  const best = (way: Way): number => tokens / Math.min(...found.get(way)!.map(({ fastestStep }) => fastestStep));
  const times = (ratio: number): string => `${ratio.toFixed(2)}×`;
  return WAYS.map((way) => {
    const rounds = found.get(way)!.map(({ secondsPerStep }) => (tokens / secondsPerStep).toFixed(0));
    const memory = Math.max(...found.get(way)!.map(({ peakRssBytes }) => peakRssBytes)) / 1e9;
    const ratios = [speed(way) / speed("PyTorch bf16"), best(way) / best("PyTorch bf16"), speed(way) / speed("ours exact")].map(times);
    const row = `| ${[size, way, `${speed(way).toFixed(0)} (${best(way).toFixed(0)})`, rounds.join(", "), memory.toFixed(2), ...ratios].join(" | ")} |`;
    console.log(row);
    return row;
  });
}

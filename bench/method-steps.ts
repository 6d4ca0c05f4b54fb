/**
 * Times a training step of every method on one shape, beside PyTorch and PEFT where PEFT has the method, in turns and in separate
 * processes on the same tokens; prints a table, and writes it into bench/RESULTS.md where that has a place for it.
 *
 * The peer runs with the Python that PEER_PYTHON names (torch ≥ 2, transformers, peft) and is reported as absent otherwise.
 */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs, promisify } from "node:util";
import { METHOD_NAMES } from "../src/train/methods/tuning-methods.ts";
import { FORECAST_MODELS } from "./forecast-scenarios.ts";
import { writeRandomModel } from "./forecast-inputs.ts";
import { median } from "./statistics.ts";

interface Measurement {
  readonly trainableParameters: number;
  readonly secondsPerStep: number;
  readonly peakRssBytes: number;
  readonly losses: readonly number[];
}

/** Methods of PEFT by our names, and whether they begin as the bare base, so that first losses must agree. */
const PEERS: Readonly<Record<string, { readonly startsAsBase: boolean }>> = {
  lora: { startsAsBase: true },
  dora: { startsAsBase: true },
  ia3: { startsAsBase: true },
  prefix: { startsAsBase: false },
  prompt: { startsAsBase: false },
  "adaption-prompt": { startsAsBase: true },
  full: { startsAsBase: true },
};

/** Two programs' losses in float32 before any update, over a few hundred tokens. */
const LOSS_TOLERANCE = 1e-4;

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    model: { type: "string", default: "llama-135m" },
    batch: { type: "string", default: "1" },
    length: { type: "string", default: "256" },
    rounds: { type: "string", default: "2" },
    steps: { type: "string", default: "4" },
    warmup: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    folder: { type: "string", default: join(tmpdir(), "mini-giants-bench") },
    results: { type: "string", default: resolve("bench/RESULTS.md") },
  },
});

const run = promisify(execFile);
const python = process.env["PEER_PYTHON"];
const config = FORECAST_MODELS[values.model];
if (config === undefined) throw new Error(`--model ${values.model} is none of ${Object.keys(FORECAST_MODELS).join(", ")}`);
const model = join(values.folder, values.model);
await writeRandomModel(model, config, "F32");

const common = ["model", "batch", "length", "steps", "warmup", "threads"] as const;
const parameters = common.flatMap((name) => [`--${name}`, name === "model" ? model : values[name]]);

async function measure(program: string, script: string, more: readonly string[]): Promise<Measurement> {
  const { stdout } = await run(program, [script, ...parameters, ...more], { maxBuffer: 1 << 24 });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Measurement;
}

/** How long a prefix or a prompt of so many parameters is, so that both programs train as many. */
function virtualTokens(method: string, trainable: number): string[] {
  const number = (key: string): number => Number(config![key]);
  const keyWidth = (number("hidden_size") / number("num_attention_heads")) * number("num_key_value_heads");
  const size = { prefix: 2 * number("num_hidden_layers") * keyWidth, prompt: number("hidden_size") }[method];
  return size === undefined ? [] : ["--virtual-tokens", String(Math.round(trainable / size))];
}

const tokens = Number(values.batch) * Number(values.length);
const rows: string[] = [];
for (const method of METHOD_NAMES) {
  if (values.only !== undefined && !values.only.includes(method)) continue;
  const ours: Measurement[] = [];
  const peer: Measurement[] = [];
  const known = Object.hasOwn(PEERS, method) ? PEERS[method] : undefined;
  let failure: string | undefined;
  for (let round = 0; round < Number(values.rounds); round++) {
    ours.push(await measure(process.execPath, join(import.meta.dirname, "ours-lora-step.js"), ["--method", method]));
    if (python === undefined || known === undefined || failure !== undefined) continue;
    const more = ["--method", method, ...virtualTokens(method, ours[0]!.trainableParameters)];
    try {
      peer.push(await measure(python, resolve("bench/peers/lora_step.py"), more));
    } catch (error) {
      failure = String((error as { stderr?: string }).stderr ?? error)
        .trim()
        .split("\n")
        .at(-1)!;
      console.error(`${method}: the peer failed: ${failure}`);
    }
  }
  if (known?.startsAsBase === true && peer.length > 0) {
    const difference = Math.abs(ours[0]!.losses[0]! - peer[0]!.losses[0]!);
    if (!(difference <= LOSS_TOLERANCE)) throw new Error(`${method}: first loss is ${ours[0]!.losses[0]}, the peer's is ${peer[0]!.losses[0]}`);
  }
  rows.push(rowOf(method, ours, peer, known === undefined ? "none" : python === undefined ? "absent" : "failed"));
  console.log(rows.at(-1));
}

function rowOf(method: string, ours: readonly Measurement[], peer: readonly Measurement[], without: string): string {
  const figures = (measured: readonly Measurement[]): readonly [seconds: number, memory: number] => [
    median(measured.map(({ secondsPerStep }) => secondsPerStep)),
    Math.max(...measured.map(({ peakRssBytes }) => peakRssBytes)) / 1e9,
  ];
  const cells = (measured: readonly Measurement[]): string[] => {
    const [seconds, memory] = figures(measured);
    return [String(measured[0]!.trainableParameters), seconds.toFixed(3), (tokens / seconds).toFixed(0), memory.toFixed(2)];
  };
  if (peer.length === 0) return `| ${[method, ...cells(ours), without, "–", "–", "–", "–", "–"].join(" | ")} |`;
  const [[seconds, memory], [peerSeconds, peerMemory]] = [figures(ours), figures(peer)];
  return `| ${[method, ...cells(ours), ...cells(peer), `${(peerSeconds / seconds).toFixed(2)}×`, `${(memory / peerMemory).toFixed(2)}×`].join(" | ")} |`;
}

const table = [
  `${cpus()[0]?.model.trim() ?? "unknown processor"}, ${cpus().length} cores; ${values.threads} threads; ${values.model}, ${values.batch} × ${values.length} tokens, all labelled; ${values.rounds} rounds in turns, ${values.steps} steps each after ${values.warmup} of warm-up.`,
  "",
  "| method | trained | s/step | tok/s | GB | PEFT trained | s/step | tok/s | GB | speed | memory |",
  "|---|---|---|---|---|---|---|---|---|---|---|",
  ...rows,
].join("\n");
console.log(`\n${table}`);
const text = await readFile(values.results, "utf8");
const marked = /(<!-- method-steps -->\n)[\s\S]*?(<!-- \/method-steps -->)/;
if (marked.test(text)) await writeFile(values.results, text.replace(marked, `$1${table}\n$2`));

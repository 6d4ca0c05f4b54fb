/** What tuning a model of the size of Llama-3.2-1B takes in memory and time: QLoRA beside LoRA, on random weights. */
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatBytes } from "../src/base/units.ts";
import { Random } from "../src/base/random.ts";
import { writeSafetensors } from "../src/io/safetensors-writer.ts";
import { takeInventory } from "../src/models/architecture.ts";
import { describeModel } from "../src/models/registry.ts";
import { lora } from "../src/peft/lora.ts";
import { LORA_DEFAULTS } from "../src/peft/lora-config.ts";
import { startEngine } from "../src/runtime/worker-engine.ts";
import { createLearner } from "../src/train/graph-learner.ts";
import { ADAMW } from "../src/train/step-graph.ts";
import { newAdapter } from "../src/workbench/adapter.ts";
import { openModel } from "../src/workbench/open-model.ts";
import { openQuantized, quantizedFolder } from "../src/workbench/quantize-model.ts";

/** Sizes of meta-llama/Llama-3.2-1B. */
const CONFIG = {
  model_type: "llama",
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 16,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 64,
  vocab_size: 128256,
  max_position_embeddings: 131072,
  rms_norm_eps: 1e-5,
  rope_theta: 500000,
  hidden_act: "silu",
  tie_word_embeddings: true,
};

/** Numbers that are copied at once. */
const PIECE = 4096;

const { values } = parseArgs({
  options: {
    folder: { type: "string", default: ".cache/llama-1b" },
    method: { type: "string", default: "qlora" },
    dtype: { type: "string", default: "BF16" },
    length: { type: "string", default: "256" },
    steps: { type: "string", default: "3" },
    keep: { type: "boolean", default: false },
  },
});

/** Writes random weights tensor by tensor; a table of normal numbers is read from random places, which is fast. */
async function writeRandomModel(folder: string, dtype: string): Promise<void> {
  const random = Random.named(1, "table");
  const table = Float32Array.from({ length: 1 << 20 }, () => 0.02 * random.normal());
  const { parameters } = takeInventory(describeModel(CONFIG, "config.json"));
  const tensors = [...parameters].map(([name, shape]) => ({
    name,
    dtype,
    shape,
    data: () => {
      const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
      if (shape.length === 1) return data.fill(1);
      const places = Random.named(2, name);
      for (let at = 0; at < data.length; at += PIECE) {
        const from = places.integer(table.length - PIECE);
        data.set(table.subarray(from, from + Math.min(PIECE, data.length - at)), at);
      }
      return data;
    },
  }));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.json"), JSON.stringify({ ...CONFIG, torch_dtype: dtype === "BF16" ? "bfloat16" : "float32" }));
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { format: "pt" });
}

interface Resident {
  readonly anonymous: number;
  readonly mapped: number;
}

async function resident(): Promise<Resident> {
  const status = await readFile("/proc/self/status", "utf8");
  const bytes = (name: string): number => 1024 * Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)![1]);
  return { anonymous: bytes("RssAnon"), mapped: bytes("RssFile") };
}

const folder = join(values.folder, values.dtype.toLowerCase());
const log = (text: string): void => console.log(text);
if ((await stat(join(folder, "model.safetensors")).catch(() => undefined)) === undefined) {
  const begin = performance.now();
  await writeRandomModel(folder, values.dtype);
  log(`random weights written in ${((performance.now() - begin) / 1000).toFixed(0)} s`);
}
const stored = await openModel(folder);
let model = stored;
if (values.method === "qlora") {
  const begin = performance.now();
  const options = { blockSize: 64, doubleQuant: true };
  model = await openQuantized(stored, quantizedFolder(stored, options), options);
  log(`base in four bits opened in ${((performance.now() - begin) / 1000).toFixed(0)} s`);
}
let peak: Resident = { anonymous: 0, mapped: 0 };
const before = await resident();
const watch = setInterval(() => {
  void resident().then((now) => (peak = { anonymous: Math.max(peak.anonymous, now.anonymous), mapped: Math.max(peak.mapped, now.mapped) }));
}, 20);
const engine = await startEngine({ device: "cpu" });
const method = lora(LORA_DEFAULTS, model.inventory, model.architecture.head);
const learner = await createLearner({
  engine,
  model,
  adapter: await newAdapter(method, model, 1),
  optimizer: ADAMW,
  maxGradNorm: 1,
  recompute: true,
  longestRow: Number(values.length),
});
const T = Number(values.length);
const random = Random.named(3, "tokens");
const tokens = Int32Array.from({ length: T }, () => random.integer(CONFIG.vocab_size));
const batch = {
  rows: 1,
  length: T,
  tokens,
  positions: Int32Array.from({ length: T }, (_, i) => i),
  segments: new Int32Array(T).fill(1),
  labelRows: Int32Array.from({ length: T - 1 }, (_, i) => i),
  labelIds: tokens.slice(1),
};
const losses: number[] = [];
const seconds: number[] = [];
for (let step = 0; step < Number(values.steps); step++) {
  const begin = performance.now();
  losses.push((await learner.accumulate(batch, 1 / (T - 1), 0)).lossSum / (T - 1));
  await learner.update(1e-3);
  seconds.push((performance.now() - begin) / 1000);
}
clearInterval(watch);
const best = Math.min(...seconds);
log(
  `| ${values.method}, ${values.dtype} base | ${formatBytes(model.weightBytes)} | ${formatBytes(peak.anonymous)} | ${formatBytes(peak.mapped)} | ${best.toFixed(1)} s | ${(T / best).toFixed(1)} | ${losses.map((loss) => loss.toFixed(3)).join(", ")} |`,
);
log(`before the engine: ${formatBytes(before.anonymous)} anonymous`);
await learner.close();
await engine.close();
if (!values.keep) await rm(values.folder, { recursive: true, force: true });

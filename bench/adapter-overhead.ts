/**
 * What an adapter costs while text is written: tokens per second of reading a prompt and of writing on, for a fresh adapter of
 * every method beside the bare base, all in one process and in turns; prints a table for each model.
 *
 * Usage: npm run bench:adapters -- [--rounds N] [--prompt N] [--new N] [MODEL ...]
 */
import { cpus, tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { resolveOptions } from "../src/base/options.ts";
import { type Generator, openGenerator } from "../src/generate/generator.ts";
import { startEngine } from "../src/runtime/worker-engine.ts";
import { METHOD_OPTIONS } from "../src/train/methods/method-options.ts";
import { METHOD_NAMES, tuningMethod } from "../src/train/methods/tuning-methods.ts";
import { newAdapter } from "../src/workbench/adapter.ts";
import { openModel } from "../src/workbench/open-model.ts";
import { openTokenizer } from "../src/workbench/open-tokenizer.ts";
import { openBase } from "./base.ts";
import { FORECAST_MODELS } from "./forecast-scenarios.ts";
import { writeRandomModel } from "./forecast-inputs.ts";
import { makeTokens } from "./inputs.ts";
import { median } from "./statistics.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    prompt: { type: "string", default: "256" },
    new: { type: "string", default: "48" },
    threads: { type: "string", default: "2" },
    folder: { type: "string", default: join(tmpdir(), "mini-giants-bench") },
  },
});

interface Candidate {
  readonly name: string;
  readonly generator: Generator;
  readonly prefill: number[]; // tokens per second
  readonly decode: number[];
}

async function modelsToMeasure(): Promise<readonly string[]> {
  if (positionals.length > 0) return positionals;
  const large = join(values.folder, "llama-135m");
  await writeRandomModel(large, FORECAST_MODELS["llama-135m"]!, "F32");
  return [resolve("models/pebble"), large];
}

/** Times one prompt; every round has another first token, so that no cache is of use. */
async function measure({ generator, prefill, decode }: Candidate, prompt: readonly number[]): Promise<void> {
  const at: number[] = [performance.now()];
  await generator.generate([prompt], { maxTokens: Number(values.new), stopTokens: [], onToken: () => void at.push(performance.now()) });
  prefill.push((1000 * prompt.length) / (at[1]! - at[0]!));
  decode.push((1000 * (at.length - 2)) / (at.at(-1)! - at[1]!));
}

async function compare(folder: string): Promise<void> {
  const engine = await startEngine({ device: "cpu", threads: Number(values.threads) });
  const model = await openModel(folder);
  const tokenizer = openTokenizer(model);
  const candidates: Candidate[] = [{ name: "bare base", generator: await openGenerator(engine, model), prefill: [], decode: [] }];
  for (const name of METHOD_NAMES) {
    const own = await openBase(folder, name);
    const method = tuningMethod(name).make(resolveOptions(METHOD_OPTIONS, {}), own, tokenizer);
    if (method.layout === undefined) continue; // a model of its own runs as the bare base does
    candidates.push({ name, generator: await openGenerator(engine, own, await newAdapter(method, own, 1)), prefill: [], decode: [] });
  }
  const { vocabSize, maxPositionEmbeddings } = model.architecture;
  const length = Math.min(Number(values.prompt), maxPositionEmbeddings - Number(values.new) - 64);
  for (let round = 0; round <= Number(values.rounds); round++) {
    const prompt = [...makeTokens(length + round, vocabSize)].slice(round);
    // The first round warms up; who begins changes from round to round.
    const turn = candidates.map((_, i) => candidates[(i + round) % candidates.length]!);
    for (const candidate of turn) await measure(candidate, prompt);
    if (round === 0) for (const { prefill, decode } of candidates) [prefill.length, decode.length] = [0, 0];
  }
  const [base] = candidates;
  const ratio = (own: readonly number[], of: readonly number[]): string => `${median(own.map((speed, i) => speed / of[i]!)).toFixed(2)}×`;
  console.log(`\n${basename(folder)}: prompt of ${length} tokens, ${values.new} new ones; median of ${values.rounds} rounds; ratios within a round`);
  console.log("\n| | prefill tok/s | of the base | decode tok/s | of the base |\n|---|---|---|---|---|");
  for (const { name, prefill, decode, generator } of candidates) {
    const cells = [name, median(prefill).toFixed(0), ratio(prefill, base!.prefill), median(decode).toFixed(1), ratio(decode, base!.decode)];
    console.log(`| ${cells.join(" | ")} |`);
    await generator.close();
  }
  await engine.close();
}

console.log(`${cpus()[0]?.model.trim() ?? "unknown processor"}, ${cpus().length} cores; ${values.threads} threads`);
for (const folder of await modelsToMeasure()) await compare(folder);

/**
 * Measures models on the documents that pebble's pretraining held out, in bits per byte, file by file, and writes the table of
 * bench/RESULTS.md. A model sees each document from its beginning in windows of its own context.
 *
 * Usage: npm run bench:pebble -- --corpora FOLDER MODEL [MODEL ...]
 */
import { readFile, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { parse } from "yaml";
import { bitsPerByte } from "../src/data/bits-per-byte.ts";
import { planPass, buildBatch } from "../src/data/batches.ts";
import { makeExamples } from "../src/data/examples.ts";
import { splitRecords } from "../src/data/split.ts";
import { type CorpusDocument, loadCorpus } from "../src/io/corpus.ts";
import { full } from "../src/peft/full.ts";
import type { Engine } from "../src/runtime/engine.ts";
import { startEngine } from "../src/runtime/worker-engine.ts";
import { createLearner } from "../src/train/graph-learner.ts";
import { ADAMW } from "../src/train/step-graph.ts";
import { newAdapter } from "../src/workbench/adapter.ts";
import { openModel } from "../src/workbench/open-model.ts";
import { openTokenizer } from "../src/workbench/open-tokenizer.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    corpora: { type: "string", default: resolve("../shared/corpora") },
    recipe: { type: "string", default: resolve("recipes/pebble.yaml") },
    results: { type: "string", default: resolve("bench/RESULTS.md") },
    threads: { type: "string", default: "2" },
  },
});

/** Longest beginning of one document, in characters: a few long books shall not stand for all. */
const LONGEST = 65536;

interface Measured {
  readonly nats: number;
  readonly tokens: number;
  readonly bytes: number;
}

async function measure(engine: Engine, folder: string, documents: readonly CorpusDocument[]): Promise<Measured> {
  const model = await openModel(folder);
  const tokenizer = openTokenizer(model);
  const maxLength = model.architecture.maxPositionEmbeddings;
  const cut = documents.map((document) => ({ ...document, text: document.text.slice(0, LONGEST) }));
  const { examples } = makeExamples(cut, tokenizer, { maxLength, trainOn: "all", longExamples: "error" });
  const learner = await createLearner({
    engine,
    model,
    adapter: await newAdapter(full(model.inventory), model, 0),
    optimizer: ADAMW,
    maxGradNorm: 0,
    longestRow: maxLength,
  });
  const total = { nats: 0, tokens: 0, bytes: cut.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0) };
  for (const plan of planPass(examples, { batchSize: 8, maxLength, packing: true, bucket: 32 })) {
    const batch = buildBatch(examples, plan, tokenizer.padId ?? tokenizer.eosId ?? 0);
    total.nats += (await learner.evaluate(batch)).lossSum;
    total.tokens += batch.labelIds.length;
  }
  await learner.close();
  return total;
}

const bitsOf = ({ nats, tokens, bytes }: Measured): number => bitsPerByte(nats / tokens, tokens, bytes);

const recipe = parse(await readFile(values.recipe, "utf8")) as { data: string[]; validation: string; seed?: number };
const corpus = await loadCorpus(recipe.data.map((path) => join(values.corpora, basename(path))));
const held = splitRecords(corpus.documents, Number(recipe.validation), recipe.seed ?? 42).validation;
const files = [...new Set(held.map(({ source }) => source))];
const models = positionals.length > 0 ? positionals : ["models/pebble", "../shared/models/stories260K"];
const engine = await startEngine({ device: "cpu", threads: Number(values.threads) });
const rows: string[][] = [];
const totals = models.map((): Measured => ({ nats: 0, tokens: 0, bytes: 0 }));
for (const file of files) {
  const documents = held.filter(({ source }) => source === file);
  const bits: number[] = [];
  for (const [i, model] of models.entries()) {
    const found = await measure(engine, model, documents);
    const before = totals[i]!;
    totals[i] = { nats: before.nats + found.nats, tokens: before.tokens + found.tokens, bytes: before.bytes + found.bytes };
    bits.push(bitsOf(found));
  }
  rows.push([basename(file), String(documents.length), ...bits.map((each) => each.toFixed(4))]);
  console.log(rows.at(-1)!.join("  "));
}
await engine.close();
rows.push(["all", String(held.length), ...totals.map((total) => bitsOf(total).toFixed(4))]);
const names = models.map((model) => basename(resolve(model)));
const table = [["held-out documents of", "documents", ...names], ["---", ...names.map(() => "---"), "---"], ...rows]
  .map((row) => `| ${row.join(" | ")} |`)
  .join("\n");
console.log(`\n${table}`);
const text = await readFile(values.results, "utf8");
const marked = /(<!-- bits-per-byte -->\n)[\s\S]*?(<!-- \/bits-per-byte -->)/;
if (marked.test(text)) await writeFile(values.results, text.replace(marked, `$1${table}\n$2`));

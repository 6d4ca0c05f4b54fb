/** Model folders and data files of given sizes, with random weights and a vocabulary of numbered words. */
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Random } from "../src/base/random.ts";
import type { StorageDtype } from "../src/core/dtype.ts";
import { type TensorToWrite, writeSafetensors } from "../src/io/safetensors-writer.ts";
import { takeInventory } from "../src/models/architecture.ts";
import { describeModel } from "../src/models/registry.ts";

const STANDARD_DEVIATION = 0.02;
const SEED = 20241101;

/** A model's folder: config.json, tokenizer.json and random weights, unless they are there. */
export async function writeRandomModel(folder: string, config: Readonly<Record<string, unknown>>, dtype: StorageDtype): Promise<void> {
  const weights = join(folder, "model.safetensors");
  if (await exists(weights)) return;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
  const architecture = describeModel(config, folder);
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(wordTokenizer(architecture.vocabSize)));
  const tensors: TensorToWrite[] = [...takeInventory(architecture).parameters].map(([name, shape]) => ({
    name,
    dtype,
    shape,
    data: () => values(name, shape),
  }));
  await writeSafetensors(weights, tensors, { format: "pt" });
}

function values(name: string, shape: readonly number[]): Float32Array {
  const size = shape.reduce((a, b) => a * b, 1);
  if (shape.length === 1 && name.endsWith("weight")) return new Float32Array(size).fill(1);
  const random = Random.named(SEED, name);
  return Float32Array.from({ length: size }, () => (2 * random.uniform() - 1) * STANDARD_DEVIATION * Math.sqrt(3));
}

/** Words `w2`, `w3`, … between spaces, each one token. */
function wordTokenizer(vocabulary: number): Record<string, unknown> {
  const special = ["<unk>", "<eos>"];
  const vocab = Object.fromEntries(Array.from({ length: vocabulary }, (_, id) => [special[id] ?? `w${id}`, id]));
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
    normalizer: null,
    pre_tokenizer: { type: "WhitespaceSplit" },
    post_processor: null,
    decoder: null,
    model: { type: "WordLevel", vocab, unk_token: "<unk>" },
  };
}

/** `count` records of `length` tokens, of which the last part is the answer; JSON Lines of prompts and completions. */
export async function writeRecords(file: string, count: number, length: number, answered: number, vocabulary: number): Promise<void> {
  const random = new Random(SEED);
  const words = (size: number): string => Array.from({ length: size }, () => `w${2 + Math.floor(random.uniform() * (vocabulary - 2))}`).join(" ");
  const answer = Math.max(1, Math.round(length * answered));
  const lines = Array.from({ length: count }, () => JSON.stringify({ prompt: words(length - answer), completion: ` ${words(answer)}` }));
  await writeFile(file, `${lines.join("\n")}\n`);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

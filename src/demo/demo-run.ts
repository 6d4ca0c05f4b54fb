/** What the demonstration tunes when the user names nothing: a model and data made on the spot, beside the run's folder. */
import { join } from "node:path";
import { Random } from "../base/random.ts";
import { writeFileAtomic, replaceFolderAtomic } from "../io/atomic.ts";
import { listFolder } from "../io/folder.ts";
import { writeSafetensors } from "../io/safetensors-writer.ts";
import type { TuneOptions } from "../train/tune-options.ts";
import { exchanges } from "./sentences.ts";
import { TINY_CONFIG, tinyTokenizer, tinyTokenizerConfig, tinyWeights } from "./tiny-model.ts";

const SEED = 42;

/** How the model made on the spot is tuned: it cannot write a word yet, so its head learns whole beside the low-rank terms. */
const TINY_RUN: Partial<TuneOptions> = {
  method: "lora",
  modulesToSave: ["lm_head"],
  learningRate: 1e-2,
  batchSize: 16,
  epochs: 8,
  maxLength: 128,
  evalSteps: 50,
  warmupSteps: 10,
  sampleTokens: 16,
};

/** The first of `demo-1`, `demo-2`, … that is not there yet. */
export async function freeRunFolder(parent: string): Promise<string> {
  const taken = new Set(await listFolder(parent));
  let number = 1;
  while (taken.has(`demo-${number}`)) number++;
  return join(parent, `demo-${number}`);
}

/** The given options, with a model and data where none are named; what is made lies beside the run folder. */
export async function demoInputs(given: Partial<TuneOptions>, output: string): Promise<Partial<TuneOptions>> {
  if (given.resume === true) return given;
  const model = given.model ?? (await writeTinyModel(`${output}-model`));
  const data = given.data ?? (await writeSentences(`${output}-data.jsonl`));
  return given.model === undefined ? { ...TINY_RUN, ...given, model, data } : { ...given, model, data };
}

/** Writes the small model's folder; returns its path. */
export async function writeTinyModel(folder: string): Promise<string> {
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  await replaceFolderAtomic(folder, async (temporary) => {
    await writeFileAtomic(join(temporary, "config.json"), json(TINY_CONFIG));
    await writeFileAtomic(join(temporary, "tokenizer.json"), json(tinyTokenizer()));
    await writeFileAtomic(join(temporary, "tokenizer_config.json"), json(tinyTokenizerConfig()));
    await writeSafetensors(
      join(temporary, "model.safetensors"),
      tinyWeights(SEED).map((tensor) => ({ ...tensor, dtype: "F32" })),
      { format: "pt" },
    );
  });
  return folder;
}

/** Writes the sentences as messages; returns the file's path. */
export async function writeSentences(path: string): Promise<string> {
  const lines = exchanges(Random.named(SEED, "sentences")).map(({ user, assistant }) =>
    JSON.stringify({
      messages: [
        { role: "user", content: user },
        { role: "assistant", content: assistant },
      ],
    }),
  );
  await writeFileAtomic(path, `${lines.join("\n")}\n`);
  return path;
}

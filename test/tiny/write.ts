/** Writes the small model and the sentences that tests tune on. */
import { join } from "node:path";
import { Random } from "../../src/base/random.ts";
import { replaceFolderAtomic, writeFileAtomic } from "../../src/io/atomic.ts";
import { writeSafetensors } from "../../src/io/safetensors-writer.ts";
import { TINY_CONFIG, tinyTokenizer, tinyTokenizerConfig, tinyWeights } from "./model.ts";
import { exchanges } from "./sentences.ts";

const SEED = 42;

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

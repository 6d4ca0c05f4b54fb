/** Writes a model folder in Hugging Face's layout: the base's files with some parameters replaced. */
import { join } from "node:path";
import { copyIfPresent, replaceFolderAtomic, writeFileAtomic } from "../io/atomic.ts";
import { readTensorBytes } from "../io/safetensors.ts";
import { type TensorToWrite, writeSafetensors } from "../io/safetensors-writer.ts";
import type { OpenModel } from "./open-model.ts";

/** Files that are copied as they are. */
export const COPIED: readonly string[] = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "chat_template.json",
  "generation_config.json",
  "tokenizer.model",
  "vocab.json",
  "merges.txt",
  "added_tokens.json",
];

/** Element types by their names in config.json. */
const DTYPE_NAMES = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

/**
 * Writes the base with new values for the parameters that `replaced` knows, as `dtype`; the others keep their bytes. A head of its own (`<head>.weight`) beside a tied embedding unties the two.
 */
export async function writeModelFolder(
  folder: string,
  model: OpenModel,
  replaced: (parameter: string) => Float32Array | undefined | (() => Promise<Float32Array>),
  dtype: keyof typeof DTYPE_NAMES = "F32",
): Promise<void> {
  const { inventory, architecture, files } = model;
  const headName = `${architecture.head.path}.weight`;
  const { outFeatures, inFeatures, tiedTo } = architecture.head.spec;
  const ownHead = tiedTo === undefined ? undefined : replaced(headName);
  const tensors: TensorToWrite[] = [...inventory.parameters].map(([name, shape]) => {
    const data = replaced(name);
    // Codes mean nothing without their tables: what stays in four bits in the base is written out.
    if (data === undefined && model.isPacked(name)) return { name, dtype, shape, data: () => model.read(name) };
    return data === undefined ? { name, dtype: model.entry(name).dtype, shape, data: () => readTensorBytes(model.entry(name)) } : { name, dtype, shape, data };
  });
  if (ownHead !== undefined) tensors.push({ name: headName, dtype, shape: [outFeatures, inFeatures], data: ownHead });
  const changed = tensors.some((tensor) => tensor.dtype === dtype);
  const config = {
    ...withoutQuantization(files.config),
    ...(changed && { [files.config["dtype"] === undefined ? "torch_dtype" : "dtype"]: DTYPE_NAMES[dtype] }),
    ...(ownHead !== undefined && { tie_word_embeddings: false }),
  };
  await replaceFolderAtomic(folder, async (temporary) => {
    await writeFileAtomic(join(temporary, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
    for (const name of COPIED) await copyIfPresent(join(model.folder, name), join(temporary, name));
    await writeSafetensors(join(temporary, "model.safetensors"), tensors, { format: "pt" });
  });
}

function withoutQuantization({ quantization_config: _quantization, ...config }: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return config;
}

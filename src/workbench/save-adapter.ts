/** Writes an adapter folder that PEFT reads, with the base's fingerprints beside it; a fully tuned model as a model folder. */
import { basename, join, resolve } from "node:path";
import { replaceFolderAtomic, writeFileAtomic } from "../io/atomic.ts";
import { writeSafetensors } from "../io/safetensors-writer.ts";
import type { LoraMethod } from "../peft/lora.ts";
import { writeLoraConfig } from "../peft/lora-config.ts";
import type { LoadedAdapter } from "./adapter.ts";
import { FINGERPRINTS_FILE, fingerprintsOf } from "./fingerprints.ts";
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from "./load-adapter.ts";
import { writeModelFolder } from "./model-writer.ts";
import type { OpenModel } from "./open-model.ts";

/** Replaces `folder` at once with the adapter's files. */
export async function saveAdapter(folder: string, adapter: LoadedAdapter, model: OpenModel): Promise<void> {
  if (adapter.method.name === "full") {
    await writeModelFolder(folder, model, (name) => adapter.tensors.get(name)?.data as Float32Array | undefined);
    return;
  }
  const method = adapter.method as LoraMethod;
  const base = await fingerprintsOf(model);
  const transposed = model.inventory.linears.some(({ path, spec }) => spec.transposed && method.targets.includes(path));
  await replaceFolderAtomic(folder, async (temporary) => {
    const config = writeLoraConfig(method.config, model.folder, method.targets, transposed);
    await writeFileAtomic(join(temporary, ADAPTER_CONFIG), `${JSON.stringify(config, null, 2)}\n`);
    const tensors = [...method.tensors].map(([name, { shape }]) => ({ name, dtype: "F32", shape, data: adapter.tensors.get(name)!.data as Float32Array }));
    await writeSafetensors(join(temporary, ADAPTER_WEIGHTS), tensors, { format: "pt" });
    const card = { format: 1, base: { name: basename(resolve(model.folder)), ...base } };
    await writeFileAtomic(join(temporary, FINGERPRINTS_FILE), `${JSON.stringify(card, null, 2)}\n`);
  });
}

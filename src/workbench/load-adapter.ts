/** Reads an adapter folder and binds it to a base. */
import { join } from "node:path";
import { GiantError } from "../base/errors.ts";
import { floats, type HostTensor } from "../core/dtype.ts";
import { readJsonObjectIfPresent } from "../io/json-file.ts";
import { readSafetensorsHeader, readTensor } from "../io/safetensors.ts";
import { isPresent } from "../io/system-file.ts";
import { readMethod } from "../peft/registry.ts";
import type { LoadedAdapter } from "./adapter.ts";
import { checkFingerprints } from "./fingerprints.ts";
import type { OpenModel } from "./open-model.ts";

export const ADAPTER_CONFIG = "adapter_config.json";

/**
 * Loads an adapter onto a base.
 * @throws GiantError("adapter") when it does not fit: another base, another shape, a missing or unknown tensor, an unsupported option.
 */
export async function loadAdapter(folder: string, model: OpenModel): Promise<LoadedAdapter> {
  const configFile = join(folder, ADAPTER_CONFIG);
  const json = await readJsonObjectIfPresent(configFile);
  if (json === undefined) throw new GiantError("adapter", `${folder} is not an adapter folder: ${ADAPTER_CONFIG} is missing`);
  await checkFingerprints(folder, model);
  const method = readMethod(json, configFile, model.architecture, model.inventory);
  const layout = method.layout!;
  const weightsFile = join(folder, layout.weightsFile);
  if (layout.pickled !== undefined && !isPresent(weightsFile) && isPresent(join(folder, layout.pickled.file))) {
    throw new GiantError("adapter", `${folder} holds ${layout.pickled.file}, and only ${layout.weightsFile} is read`, { hint: layout.pickled.hint });
  }
  const { entries } = await readSafetensorsHeader(weightsFile);
  const tensors = new Map<string, HostTensor>();
  for (const [name, { shape, trained, initial }] of method.tensors) {
    const entry = entries.get(name);
    // PEFT leaves out an embedding it did not change; the base's own is the same.
    if (entry === undefined && !trained && initial.kind === "base") continue;
    if (entry === undefined) throw misfit(weightsFile, `tensor ${name} [${shape.join(", ")}] is missing`, model);
    if (entry.shape.join() !== shape.join())
      throw misfit(weightsFile, `tensor ${name} has shape [${entry.shape.join(", ")}], this base needs [${shape.join(", ")}]`, model);
    const values = await readTensor(entry);
    if (!trained && initial.kind === "base") {
      const own = await model.read(initial.parameter);
      if (values.some((value, i) => value !== own[i])) throw misfit(weightsFile, `its copy of ${initial.parameter} differs from the base's`, model);
    }
    tensors.set(name, floats(shape, values));
  }
  const unknown = [...entries.keys()].filter((name) => !method.tensors.has(name));
  if (unknown.length > 0)
    throw misfit(
      weightsFile,
      `tensor ${unknown[0]} belongs to no layer that ${ADAPTER_CONFIG} names${unknown.length > 1 ? ` (and ${unknown.length - 1} more)` : ""}`,
      model,
    );
  return { method, tensors };
}

function misfit(file: string, problem: string, model: OpenModel): GiantError {
  return new GiantError("adapter", `${file}: ${problem}`, {
    hint: `The adapter does not fit ${model.folder}: name the base it was trained on.`,
    facts: { file, base: model.folder },
  });
}

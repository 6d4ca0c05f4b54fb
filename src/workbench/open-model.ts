/** Opens a model folder: its architecture, where each weight lies, and whether all of them fit. */
import { join } from "node:path";
import { GiantError } from "../base/errors.ts";
import type { StorageDtype } from "../core/dtype.ts";
import { readTensor, type TensorEntry } from "../io/safetensors.ts";
import { type ModelFolder, readModelFolder } from "../io/model-folder.ts";
import { type Architecture, takeInventory } from "../models/architecture.ts";
import { describeModel } from "../models/registry.ts";
import type { Inventory } from "../nn/inventory.ts";
import type { FileBytes, WeightLocation } from "../onnx/emitter.ts";
import { locateNf4, type Nf4Weight, readNf4, readNf4Weights } from "./nf4-weights.ts";

export interface OpenModel {
  readonly folder: string;
  readonly files: ModelFolder;
  readonly architecture: Architecture;
  readonly inventory: Inventory;
  /** The folder the weights' locations are relative to. */
  readonly weightsFolder: string;
  /** The checkpoint's entry of a parameter. */
  readonly entry: (parameter: string) => TensorEntry;
  /** Where a parameter's bytes lie, for a graph. */
  readonly locate: (parameter: string) => WeightLocation;
  /** A parameter's values in float32. */
  readonly read: (parameter: string) => Promise<Float32Array>;
  /** Whether a parameter lies in four bits (NF4). */
  readonly isPacked: (parameter: string) => boolean;
  /** Bytes of all parameters as they lie on disk. */
  readonly weightBytes: number;
  readonly parameterCount: number;
}

const STORED: ReadonlySet<string> = new Set<StorageDtype>(["F32", "F16", "BF16"]);

/**
 * Opens a folder in Hugging Face's layout.
 * @throws GiantError("model") naming a missing tensor, a wrong shape, an element type that cannot be used, or a config that is not supported.
 */
export async function openModel(folder: string): Promise<OpenModel> {
  const files = await readModelFolder(folder);
  return modelOf(files, await readNf4Weights(files));
}

/** The model of files that were read already, wherever its weights lie; `packed` are those in four bits. */
export function modelOf(files: ModelFolder, packed: ReadonlyMap<string, Nf4Weight> = new Map()): OpenModel {
  const { folder } = files;
  const architecture = describeModel(files.config, join(folder, "config.json"));
  const inventory = takeInventory(architecture);
  const { entries, weightsFolder } = files.checkpoint;
  const found = new Map<string, TensorEntry>();
  const problems: string[] = [];
  for (const [name, shape] of inventory.parameters) {
    // Some checkpoints leave out the name of the model inside the language model: "h.0.…" for "transformer.h.0.…".
    const weight = packed.get(name);
    const entry = entries.get(name) ?? entries.get(name.slice(name.indexOf(".") + 1));
    if (entry === undefined) problems.push(`tensor ${name} [${shape.join(", ")}] is missing`);
    else if ((weight ?? entry).shape.join() !== shape.join())
      problems.push(`tensor ${name} has shape [${(weight ?? entry).shape.join(", ")}], config.json needs [${shape.join(", ")}]`);
    else if (weight !== undefined) found.set(name, entry);
    else if (!STORED.has(entry.dtype)) problems.push(`tensor ${name} is ${entry.dtype}, needs F32, F16 or BF16`);
    else found.set(name, entry);
  }
  if (problems.length > 0) {
    const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
    throw new GiantError("model", `${folder}: ${problems[0]}${more}`, {
      hint: "config.json and the weights do not belong together, or the download is incomplete.",
      facts: { problems: problems.slice(0, 20) },
    });
  }
  const entry = (parameter: string): TensorEntry => {
    const known = found.get(parameter);
    if (known === undefined) throw new GiantError("model", `${folder}: the model has no parameter ${parameter}`);
    return known;
  };
  const bytesOf = ({ file, offset, bytes }: TensorEntry): FileBytes => ({ location: file.slice(weightsFolder.length + 1), offset, bytes });
  const used = [...found.values()];
  return {
    folder,
    files,
    architecture,
    inventory,
    weightsFolder,
    entry,
    locate: (parameter) => {
      const weight = packed.get(parameter);
      const at = entry(parameter);
      if (weight !== undefined) return { ...bytesOf(at), storage: "F32", nf4: locateNf4(weight, bytesOf) };
      return { ...bytesOf(at), storage: at.dtype as StorageDtype };
    },
    read: (parameter) => {
      const weight = packed.get(parameter);
      return weight === undefined ? readTensor(entry(parameter)) : readNf4(weight);
    },
    isPacked: (parameter) => packed.has(parameter),
    weightBytes: used.reduce((sum, { name, bytes }) => sum + bytes + (packed.get(name)?.absmax.bytes ?? 0) + (packed.get(name)?.nested?.absmax.bytes ?? 0), 0),
    parameterCount: [...inventory.parameters.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0),
  };
}

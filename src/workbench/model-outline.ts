/** What is known of a model without its weights: its config.json is enough. */
import { join } from "node:path";
import { GiantError } from "../base/errors.ts";
import type { StorageDtype } from "../core/dtype.ts";
import { kindOf, listFolder } from "../io/folder.ts";
import { readJsonObjectIfPresent } from "../io/json-file.ts";
import { type Architecture, takeInventory } from "../models/architecture.ts";
import { describeModel } from "../models/registry.ts";
import type { Inventory } from "../nn/inventory.ts";
import { openModel, type OpenModel } from "./open-model.ts";

export interface ModelOutline {
  readonly architecture: Architecture;
  readonly inventory: Inventory;
  readonly parameterCount: number;
  /** The element type of a weight: the file's where there is one, otherwise what config.json says. */
  readonly storage: (parameter: string) => StorageDtype;
  /** The model itself, where its weights are there. */
  readonly model: OpenModel | undefined;
}

/** Names of element types in config.json (`dtype`, before that `torch_dtype`). */
const STORAGE: Readonly<Record<string, StorageDtype>> = { float32: "F32", float16: "F16", bfloat16: "BF16" };

/**
 * Reads a model's folder, with weights or without, or a config.json alone.
 * @param precision takes the place of the weights' own element type.
 */
export async function outlineModel(path: string, precision?: StorageDtype): Promise<ModelOutline> {
  const kind = await kindOf(path);
  const file = kind === "folder" ? join(path, "config.json") : path;
  if (kind === "folder" && (await listFolder(path)).some((name) => name.endsWith(".safetensors"))) {
    const model = await openModel(path);
    const { architecture, inventory, parameterCount } = model;
    return { architecture, inventory, parameterCount, storage: (parameter) => precision ?? model.locate(parameter).storage, model };
  }
  const config = kind === undefined ? undefined : await readJsonObjectIfPresent(file);
  if (config === undefined) {
    throw new GiantError("model", kind === undefined ? `${path}: no such file or folder` : `${path} is not a model folder: config.json is missing`, {
      hint: "Name a model's folder, or a config.json; the weights are not needed.",
      facts: { path },
    });
  }
  const architecture = describeModel(config, file);
  const inventory = takeInventory(architecture);
  const parameterCount = [...inventory.parameters.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const said = STORAGE[String(config["dtype"] ?? config["torch_dtype"])] ?? "F32";
  return { architecture, inventory, parameterCount, storage: () => precision ?? said, model: undefined };
}

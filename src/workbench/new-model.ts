/** A model that does not exist yet: its weights are what training starts from, and no file holds them. */
import { invariant } from "../base/errors.ts";
import type { JsonObject } from "../io/json-file.ts";
import { takeInventory } from "../models/architecture.ts";
import { initialWeights } from "../models/initial-weights.ts";
import { describeModel } from "../models/registry.ts";
import type { OpenModel } from "./open-model.ts";

/** What stands in the folder of a new model beside its weights, by file name. */
export interface NewModelFiles {
  readonly config: JsonObject;
  readonly tokenizer: JsonObject;
  readonly tokenizerConfig: JsonObject;
  readonly generationConfig: JsonObject;
}

/** The names of these files. */
export const NEW_MODEL_FILES: Readonly<Record<keyof NewModelFiles, string>> = {
  config: "config.json",
  tokenizer: "tokenizer.json",
  tokenizerConfig: "tokenizer_config.json",
  generationConfig: "generation_config.json",
};

/**
 * A new model whose weights are drawn by `seed`; all of them must be trained, for a graph cannot read them from anywhere.
 * @param folder where the files lie, or will lie before the model is written.
 * @throws GiantError("model") when the configuration cannot be a model.
 */
export function newModel(folder: string, files: NewModelFiles, seed: number): OpenModel {
  const architecture = describeModel(files.config, "the new model");
  const inventory = takeInventory(architecture);
  const nowhere = (parameter: string): never => {
    invariant(false, `${parameter} of a new model lies in no file`);
  };
  const parameterCount = [...inventory.parameters.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
  return {
    folder,
    files: { folder, ...files, checkpoint: { folder, files: [], entries: new Map(), weightsFolder: folder } },
    architecture,
    inventory,
    weightsFolder: folder,
    entry: nowhere,
    locate: nowhere,
    read: async (parameter) => initialWeights(architecture, parameter, inventory.parameters.get(parameter)!, seed),
    isPacked: () => false,
    weightBytes: 4 * parameterCount,
    parameterCount,
  };
}

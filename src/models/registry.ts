/** Finds the family of a config.json by its `model_type`. */
import { GiantError } from "../base/errors.ts";
import type { Architecture } from "./architecture.ts";
import { ConfigFields, type JsonObject } from "./config-fields.ts";
import * as gpt2 from "./gpt2.ts";
import * as gptNeox from "./gpt-neox.ts";
import * as gptj from "./gptj.ts";
import * as llama from "./llama.ts";

interface Family {
  readonly modelTypes: readonly string[];
  readonly describe: (config: ConfigFields) => Architecture;
}

const families: readonly Family[] = [llama, gpt2, gptNeox, gptj];

/** Every `model_type` that can be run, sorted. */
export const supportedModelTypes: readonly string[] = families.flatMap((family) => family.modelTypes).toSorted();

/** The architecture a config.json describes; `where` names the file in messages. */
export function describeModel(config: JsonObject, where: string): Architecture {
  const modelType = config["model_type"];
  const family = families.find((candidate) => typeof modelType === "string" && candidate.modelTypes.includes(modelType));
  if (family === undefined) {
    throw new GiantError("model", `${where}: model_type is ${JSON.stringify(modelType) ?? "missing"}; supported are ${supportedModelTypes.join(", ")}`, {
      facts: { modelType, supported: supportedModelTypes },
    });
  }
  return family.describe(new ConfigFields(config, where));
}

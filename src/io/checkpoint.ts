/** Opens the weights of a model folder: one safetensors file, or shards with their index. */
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { GiantError } from "../base/errors.ts";
import { errorCode, fileError } from "./file-error.ts";
import { readJsonObjectIfPresent } from "./json-file.ts";
import type { JsonObject } from "./json-file.ts";
import { readSafetensorsHeader } from "./safetensors.ts";
import type { SafetensorsFile, TensorEntry } from "./safetensors.ts";

export interface Checkpoint {
  readonly folder: string;
  /** The real folder that holds every real file: ONNX Runtime reads weights from one folder and refuses links that leave it. */
  readonly weightsFolder: string;
  /** The files in the order of their names in the model folder. */
  readonly files: readonly SafetensorsFile[];
  readonly entries: ReadonlyMap<string, TensorEntry>;
}

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/**
 * Reads all headers of a model folder's weights.
 * @throws GiantError("model") when files or tensors are missing, GiantError("format") when a file is broken.
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const index = join(folder, INDEX);
  if (await isFile(join(folder, SINGLE))) return merge(folder, [await readSafetensorsHeader(join(folder, SINGLE))]);
  const shards = await readJsonObjectIfPresent(index);
  if (shards === undefined) throw await noWeights(folder);
  const weightMap = checkWeightMap(index, shards);
  const files: SafetensorsFile[] = [];
  for (const name of [...new Set(weightMap.values())].sort()) {
    if (!(await isFile(join(folder, name)))) {
      throw new GiantError("model", `${index}: shard ${name} is missing in the folder`, {
        hint: "The model is incomplete: get it again.",
        facts: { folder, shard: name },
      });
    }
    files.push(await readSafetensorsHeader(join(folder, name)));
  }
  const checkpoint = merge(folder, files);
  const shardOf = new Map(files.flatMap((file) => [...file.entries.keys()].map((tensor) => [tensor, basename(file.path)] as const)));
  for (const [tensor, shard] of weightMap) {
    if (shardOf.get(tensor) !== shard) {
      throw new GiantError(
        "model",
        `${index}: tensor ${tensor} is said to be in ${shard}, but is ${shardOf.has(tensor) ? `in ${shardOf.get(tensor)}` : "not there"}`,
        {
          hint: "The shards and their index do not belong together: get the model again.",
          facts: { folder, tensor, shard },
        },
      );
    }
  }
  return checkpoint;
}

/** The weights of one file of any name. */
export async function openWeightsFile(path: string): Promise<Checkpoint> {
  return merge(dirname(path), [await readSafetensorsHeader(path)]);
}

function checkWeightMap(index: string, content: JsonObject): Map<string, string> {
  const map = content["weight_map"];
  if (typeof map !== "object" || map === null || Array.isArray(map))
    throw new GiantError("format", `${index}: weight_map is missing, but an object from tensor to file name was needed`);
  const checked = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(map)) {
    // A shard lies in the folder itself: a path could lead out of it.
    if (typeof shard !== "string" || shard !== basename(shard) || !shard.endsWith(".safetensors")) {
      throw new GiantError(
        "format",
        `${index}: weight_map names ${JSON.stringify(shard)} for ${tensor}, but the name of a .safetensors file in the same folder was needed`,
      );
    }
    checked.set(tensor, shard);
  }
  if (checked.size === 0) throw new GiantError("format", `${index}: weight_map is empty`);
  return checked;
}

function merge(folder: string, files: readonly SafetensorsFile[]): Checkpoint {
  const entries = new Map<string, TensorEntry>();
  for (const file of files) {
    for (const [name, entry] of file.entries) {
      const other = entries.get(name);
      if (other !== undefined)
        throw new GiantError("model", `${file.path}: tensor ${name} is also in ${other.file}`, {
          hint: "The shards do not belong together: get the model again.",
        });
      entries.set(name, entry);
    }
  }
  const weightsFolder = dirname(files[0]!.realPath);
  const elsewhere = files.find((file) => dirname(file.realPath) !== weightsFolder);
  if (elsewhere !== undefined) {
    throw new GiantError("model", `${folder}: its shards lie in different folders (${weightsFolder} and ${dirname(elsewhere.realPath)}), but one was needed`, {
      hint: "Put all shards into one folder instead of linking them from several.",
      facts: { folder },
    });
  }
  return { folder, weightsFolder, files, entries };
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw fileError(error, path, "read");
  }
}

async function noWeights(folder: string): Promise<GiantError> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw fileError(error, folder, "read");
  });
  const pickled = names.find((name) => /^pytorch_model.*\.bin$/.test(name));
  if (pickled !== undefined) {
    return new GiantError("model", `${folder}: its weights are in ${pickled}, but ${SINGLE} was needed`, {
      hint: "Convert it in Python: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(FOLDER, safe_serialization=True).",
      facts: { folder },
    });
  }
  return new GiantError("model", `${folder}: no weights: neither ${SINGLE} nor ${INDEX} is there`, {
    hint: "The model is incomplete: get it again.",
    facts: { folder },
  });
}

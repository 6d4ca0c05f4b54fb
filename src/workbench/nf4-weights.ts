/** Weights in four bits as bitsandbytes lays them out in a checkpoint, and what of its formats cannot be used. */
import { join } from "node:path";
import { GiantError } from "../base/errors.ts";
import { parseJson } from "../io/json-file.ts";
import type { ModelFolder } from "../io/model-folder.ts";
import { readTensor, readTensorBytes, type TensorEntry } from "../io/safetensors.ts";
import type { FileBytes, Nf4Location } from "../onnx/emitter.ts";
import { dequantizeAbsmax, DYNAMIC_MAP } from "../quantize/double-quantization.ts";
import { dequantizeNf4, NF4_TABLE } from "../quantize/nf4.ts";

/** Behind a weight's name: its description as JSON. */
export const NF4_STATE = "quant_state.bitsandbytes__nf4";

/** A weight in four bits and where its parts lie. */
export interface Nf4Weight {
  /** Of the matrix that the codes stand for. */
  readonly shape: readonly number[];
  readonly blockSize: number;
  readonly codes: TensorEntry;
  readonly absmax: TensorEntry;
  /** Present where the magnitudes are in eight bits. */
  readonly nested?: { readonly absmax: TensorEntry; readonly blockSize: number; readonly offset: number };
}

/**
 * All weights of a folder that lie in four bits, by name; none in an ordinary one.
 * @throws GiantError("model") when the folder is quantised in another way, or a part is missing.
 */
export async function readNf4Weights({ folder, config, checkpoint }: ModelFolder): Promise<Map<string, Nf4Weight>> {
  const weights = new Map<string, Nf4Weight>();
  const said = config["quantization_config"];
  if (typeof said === "object" && said !== null) requireNf4(said as Record<string, unknown>, join(folder, "config.json"));
  for (const name of checkpoint.entries.keys()) {
    if (!name.endsWith(`.${NF4_STATE}`)) continue;
    const weight = name.slice(0, -NF4_STATE.length - 1);
    weights.set(weight, await readWeight(weight, checkpoint.entries));
  }
  return weights;
}

function requireNf4(said: Record<string, unknown>, file: string): void {
  const method = said["quant_method"];
  const type = said["load_in_8bit"] === true ? "int8" : said["bnb_4bit_quant_type"];
  if (method === "bitsandbytes" && type === "nf4") return;
  throw new GiantError(
    "model",
    `${file}: quantization_config is ${JSON.stringify(method)} with ${JSON.stringify(type) ?? "no type"}, needs "bitsandbytes" with "nf4"`,
    {
      hint: "Get the model without quantisation; --method qlora quantises it itself.",
    },
  );
}

async function readWeight(name: string, entries: ReadonlyMap<string, TensorEntry>): Promise<Nf4Weight> {
  const part = (suffix: string): TensorEntry => {
    const entry = entries.get(suffix === "" ? name : `${name}.${suffix}`);
    if (entry === undefined) throw new GiantError("model", `${entries.get(`${name}.${NF4_STATE}`)!.file}: tensor ${name}.${suffix} is missing`);
    return entry;
  };
  const described = part(NF4_STATE);
  const state = parseJson(new TextDecoder().decode(await readTensorBytes(described)), `${described.file}: tensor ${described.name}`) as {
    blocksize: number;
    shape: number[];
    nested_blocksize?: number;
    nested_offset?: number;
  };
  await requireTable(part("quant_map"), NF4_TABLE);
  if (state.nested_offset === undefined) return { shape: state.shape, blockSize: state.blocksize, codes: part(""), absmax: part("absmax") };
  await requireTable(part("nested_quant_map"), DYNAMIC_MAP);
  const nested = { absmax: part("nested_absmax"), blockSize: state.nested_blocksize ?? 256, offset: Math.fround(state.nested_offset) };
  return { shape: state.shape, blockSize: state.blocksize, codes: part(""), absmax: part("absmax"), nested };
}

async function requireTable(entry: TensorEntry, table: Readonly<Float32Array>): Promise<void> {
  const values = await readTensor(entry);
  if (values.length === table.length && values.every((value, i) => value === table[i])) return;
  throw new GiantError("model", `${entry.file}: tensor ${entry.name} is another table than bitsandbytes' own`);
}

/** The values that a weight's codes stand for. */
export async function readNf4({ shape, blockSize, codes, absmax, nested }: Nf4Weight): Promise<Float32Array> {
  const bytes = await readTensorBytes(codes);
  const scales =
    nested === undefined
      ? await readTensor(absmax)
      : dequantizeAbsmax(
          { codes: await readTensorBytes(absmax), nested: await readTensor(nested.absmax), offset: nested.offset },
          DYNAMIC_MAP,
          nested.blockSize,
        );
  return dequantizeNf4({ codes: bytes, absmax: scales }, blockSize, new Float32Array(shape.reduce((a, b) => a * b, 1)));
}

/** Where the parts lie, for a graph; `bytesOf` names an entry's bytes relative to the weights folder. */
export function locateNf4({ blockSize, codes, absmax, nested }: Nf4Weight, bytesOf: (entry: TensorEntry) => FileBytes): Nf4Location {
  return {
    codes: bytesOf(codes),
    blockSize,
    absmax:
      nested === undefined
        ? bytesOf(absmax)
        : { codes: bytesOf(absmax), nested: bytesOf(nested.absmax), nestedBlockSize: nested.blockSize, offset: nested.offset },
  };
}

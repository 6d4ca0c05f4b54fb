/** Writes a base with its linear layers in four bits, tensor by tensor, as bitsandbytes lays them out. */
import { basename, join, resolve } from "node:path";
import { GiantError } from "../base/errors.ts";
import { copyIfPresent, replaceFolderAtomic, writeFileAtomic } from "../io/atomic.ts";
import { openCheckpoint } from "../io/checkpoint.ts";
import { fingerprintWeights } from "../io/fingerprint.ts";
import { listFolder } from "../io/folder.ts";
import { readJsonObjectIfPresent } from "../io/json-file.ts";
import { readTensorBytes } from "../io/safetensors.ts";
import { type TensorToWrite, writeSafetensors } from "../io/safetensors-writer.ts";
import { DYNAMIC_MAP, NESTED_BLOCK_SIZE, type NestedAbsmax, quantizeAbsmax } from "../quantize/double-quantization.ts";
import { NF4_TABLE, type Nf4Codes, quantizeNf4 } from "../quantize/nf4.ts";
import { FINGERPRINTS_FILE, fingerprintsOf } from "./fingerprints.ts";
import { COPIED } from "./model-writer.ts";
import { NF4_STATE } from "./nf4-weights.ts";
import { openModel, type OpenModel } from "./open-model.ts";

export interface QuantizeOptions {
  /** Weights that share a magnitude. */
  readonly blockSize: number;
  /** Whether the magnitudes lie in eight bits. */
  readonly doubleQuant: boolean;
  /** Told after each weight which part of all is done, 0 to 1. */
  readonly onProgress?: (done: number) => void;
  readonly signal?: AbortSignal;
}

/** A weight's description as JSON: room for a float32 written out, so that its length is known before its values are. */
const STATE_BYTES = 256;

/** Where a base's quantised form lies unless another folder is named. */
export function quantizedFolder(model: OpenModel, { blockSize, doubleQuant }: QuantizeOptions): string {
  return join(model.folder, ".mini-giants", `nf4-${blockSize}${doubleQuant ? "-double" : ""}`);
}

/**
 * Opens the quantised form of a base: as it was written before, where its fingerprints say that it is this base's and whole;
 * otherwise it is written anew. Linear layers but the head are quantised; the rest stays as it is.
 * @throws GiantError("file") when `folder` holds something else.
 */
export async function openQuantized(model: OpenModel, folder: string, options: QuantizeOptions): Promise<OpenModel> {
  const card = await readJsonObjectIfPresent(join(folder, FINGERPRINTS_FILE));
  const base = await fingerprintsOf(model);
  const known = card?.["base"] as { readonly weights?: unknown; readonly tokenizer?: unknown; readonly chatTemplate?: unknown } | undefined;
  const { blockSize, doubleQuant } = options;
  if (
    known?.weights === base.weights &&
    known.tokenizer === base.tokenizer &&
    known.chatTemplate === base.chatTemplate &&
    card?.["blockSize"] === blockSize &&
    card["doubleQuant"] === doubleQuant
  ) {
    // What was damaged since is made anew.
    if ((await fingerprintWeights(await openCheckpoint(folder))) === card["own"]) return await openModel(folder);
  } else if (card === undefined && (await listFolder(folder)).length > 0) {
    throw new GiantError("file", `${folder}: found other files, needed a new folder or a quantised model`, { hint: "Name another --quantized-cache." });
  }
  await quantize(model, folder, options, base);
  return await openModel(folder);
}

async function quantize(model: OpenModel, folder: string, options: QuantizeOptions, base: object): Promise<void> {
  const { inventory, files } = model;
  const { blockSize, doubleQuant } = options;
  const linears = new Set(inventory.linears.map(({ path }) => `${path}.weight`));
  const tensors = [...inventory.parameters].flatMap(([name, shape]) =>
    linears.has(name) ? packedTensors(model, name, shape, options) : [plainTensor(model, name, shape)],
  );
  const counted = withProgress(tensors, options);
  const config = { ...files.config, quantization_config: quantizationConfig(model, doubleQuant) };
  await replaceFolderAtomic(folder, async (temporary) => {
    await writeFileAtomic(join(temporary, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
    for (const name of COPIED) await copyIfPresent(join(model.folder, name), join(temporary, name));
    await writeSafetensors(join(temporary, "model.safetensors"), counted, { format: "pt" });
    const own = await fingerprintWeights((await openModel(temporary)).files.checkpoint);
    const card = { format: 1, base: { name: basename(resolve(model.folder)), ...base }, blockSize, doubleQuant, own };
    await writeFileAtomic(join(temporary, FINGERPRINTS_FILE), `${JSON.stringify(card, null, 2)}\n`);
  });
}

function plainTensor(model: OpenModel, name: string, shape: readonly number[]): TensorToWrite {
  return { name, dtype: model.entry(name).dtype, shape, data: () => readTensorBytes(model.entry(name)) };
}

/** The tensors of one weight; it is read and quantised when the first of them is written, and kept until the last is. */
function packedTensors(model: OpenModel, name: string, shape: readonly number[], { blockSize, doubleQuant }: QuantizeOptions): TensorToWrite[] {
  const size = shape.reduce((a, b) => a * b, 1);
  const blocks = Math.ceil(size / blockSize);
  let small: { readonly absmax: Float32Array; readonly nested: NestedAbsmax | undefined } | undefined;
  const quantized = async (): Promise<Nf4Codes> => {
    const found = quantizeNf4(await model.read(name), blockSize);
    small = { absmax: found.absmax, nested: doubleQuant ? quantizeAbsmax(found.absmax) : undefined };
    return found;
  };
  // The order of writing is the format's, so whichever comes first quantises; codes, the large part, are not kept.
  const magnitudes = async (): Promise<NonNullable<typeof small>> => small ?? (await quantized(), small!);
  const state = async (): Promise<Uint8Array> => {
    const { nested } = await magnitudes();
    const nestedState = nested === undefined ? {} : { nested_blocksize: NESTED_BLOCK_SIZE, nested_dtype: "float32", nested_offset: nested.offset };
    const text = JSON.stringify({ quant_type: "nf4", blocksize: blockSize, dtype: dtypeName(model.entry(name).dtype), shape, ...nestedState });
    return new TextEncoder().encode(text.padEnd(STATE_BYTES));
  };
  const part = (suffix: string, dtype: string, dims: readonly number[], data: TensorToWrite["data"]): TensorToWrite => ({
    name: `${name}${suffix}`,
    dtype,
    shape: dims,
    data,
  });
  const groups = Math.ceil(blocks / NESTED_BLOCK_SIZE);
  return [
    part("", "U8", [Math.ceil(size / 2), 1], async () => (await quantized()).codes),
    part(".quant_map", "F32", [16], NF4_TABLE as Float32Array),
    part(`.${NF4_STATE}`, "U8", [STATE_BYTES], state),
    ...(doubleQuant
      ? [
          part(".absmax", "U8", [blocks], async () => (await magnitudes()).nested!.codes),
          part(".nested_absmax", "F32", [groups], async () => (await magnitudes()).nested!.nested),
          part(".nested_quant_map", "F32", [256], DYNAMIC_MAP as Float32Array),
        ]
      : [part(".absmax", "F32", [blocks], async () => (await magnitudes()).absmax)]),
  ];
}

function withProgress(tensors: readonly TensorToWrite[], { onProgress, signal }: QuantizeOptions): TensorToWrite[] {
  let done = 0;
  return tensors.map((tensor) => ({
    ...tensor,
    data: async () => {
      if (signal?.aborted === true) throw new GiantError("interrupted", "stopped while the base was quantised; nothing was written");
      onProgress?.(done++ / tensors.length);
      return typeof tensor.data === "function" ? await tensor.data() : tensor.data;
    },
  }));
}

function dtypeName(dtype: string): string {
  return dtype === "BF16" ? "bfloat16" : dtype === "F16" ? "float16" : "float32";
}

/** What transformers reads to open the folder. */
function quantizationConfig(model: OpenModel, doubleQuant: boolean): Record<string, unknown> {
  return {
    _load_in_4bit: true,
    _load_in_8bit: false,
    bnb_4bit_compute_dtype: "float32",
    bnb_4bit_quant_storage: "uint8",
    bnb_4bit_quant_type: "nf4",
    bnb_4bit_use_double_quant: doubleQuant,
    llm_int8_enable_fp32_cpu_offload: false,
    llm_int8_has_fp16_weight: false,
    llm_int8_skip_modules: [model.architecture.head.path],
    llm_int8_threshold: 6,
    load_in_4bit: true,
    load_in_8bit: false,
    quant_method: "bitsandbytes",
  };
}

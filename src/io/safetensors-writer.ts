/** Writes safetensors files tensor by tensor, laid out as the reference implementation lays them out. */
import type { FileHandle } from "node:fs/promises";
import { GiantError, invariant } from "../base/errors.ts";
import { createFileAtomic } from "./atomic.ts";
import { bfloatFromFloats, halfFromFloats } from "./half.ts";
import { SAFETENSORS_BITS } from "./safetensors.ts";

type TensorData = Float32Array | Uint8Array;

export interface TensorToWrite {
  readonly name: string;
  /** Element type by its safetensors name. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /**
   * Values (converted to F32, F16 or BF16, to nearest even) or bytes as they shall lie in the file;
   * a function is called when its turn comes, so that not all tensors lie in memory at once.
   */
  readonly data: TensorData | (() => TensorData | Promise<TensorData>);
}

/** Bytes converted and written at once. */
const BLOCK_ELEMENTS = 4 * 1024 * 1024;

/**
 * Writes a file at once or not at all. The header is padded with spaces to a multiple of 8 bytes; tensors lie by descending
 * alignment of their element type, then by name (huggingface/safetensors, `prepare` in tensor.rs).
 * @throws GiantError("file") when it cannot be written.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite> | AsyncIterable<TensorToWrite>,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const ordered = await collect(tensors);
  ordered.sort((a, b) => rank(b) - rank(a) || compareUtf8(a.name, b.name));
  const header: [string, unknown][] = [];
  if (metadata !== undefined) header.push(["__metadata__", Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1)))]);
  let offset = 0;
  for (const tensor of ordered) {
    const end = offset + bytesOf(tensor);
    header.push([tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  await createFileAtomic(path, async (file) => {
    await file.writeFile(headerBytes(header));
    for (const tensor of ordered) {
      const data = typeof tensor.data === "function" ? await tensor.data() : tensor.data;
      await writeData(file, tensor, data);
    }
  });
}

async function collect(tensors: Iterable<TensorToWrite> | AsyncIterable<TensorToWrite>): Promise<TensorToWrite[]> {
  const all: TensorToWrite[] = [];
  const names = new Set<string>(["__metadata__"]);
  for await (const tensor of tensors) {
    invariant(!names.has(tensor.name), `tensor name ${tensor.name} is taken`);
    invariant(Object.hasOwn(SAFETENSORS_BITS, tensor.dtype), `tensor ${tensor.name}: unknown element type ${tensor.dtype}`);
    names.add(tensor.name);
    all.push(tensor);
  }
  return all;
}

const RANKS: ReadonlyMap<string, number> = new Map(Object.keys(SAFETENSORS_BITS).map((dtype, index) => [dtype, index]));

function rank(tensor: TensorToWrite): number {
  return RANKS.get(tensor.dtype)!;
}

/** The reference orders names by their UTF-8 bytes. */
function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function elementsOf(tensor: TensorToWrite): number {
  return tensor.shape.reduce((product, size) => product * size, 1);
}

function bytesOf(tensor: TensorToWrite): number {
  return (elementsOf(tensor) * SAFETENSORS_BITS[tensor.dtype]!) / 8;
}

function headerBytes(header: readonly (readonly [string, unknown])[]): Uint8Array {
  // Built by hand: an object would move names that look like numbers to the front.
  const json = Buffer.from(`{${header.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const bytes = Buffer.alloc(8 + length, " ");
  bytes.writeBigUInt64LE(BigInt(length), 0);
  json.copy(bytes, 8);
  return bytes;
}

async function writeData(file: FileHandle, tensor: TensorToWrite, data: TensorData): Promise<void> {
  if (data instanceof Uint8Array) {
    invariant(data.length === bytesOf(tensor), `tensor ${tensor.name} takes ${bytesOf(tensor)} bytes, got ${data.length}`);
    for (let at = 0; at < data.length; at += BLOCK_ELEMENTS) await file.writeFile(data.subarray(at, at + BLOCK_ELEMENTS));
    return;
  }
  invariant(data.length === elementsOf(tensor), `tensor ${tensor.name} takes ${elementsOf(tensor)} elements, got ${data.length}`);
  for (let at = 0; at < data.length; at += BLOCK_ELEMENTS) {
    const encoded = encode(tensor, data.subarray(at, at + BLOCK_ELEMENTS));
    await file.writeFile(new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.byteLength));
  }
}

function encode(tensor: TensorToWrite, values: Float32Array): Float32Array | Float64Array | Uint16Array {
  switch (tensor.dtype) {
    case "F32":
      return values;
    case "F64":
      return Float64Array.from(values);
    case "F16":
      return halfFromFloats(values);
    case "BF16":
      return bfloatFromFloats(values);
    default:
      throw new GiantError("internal", `tensor ${tensor.name}: float values cannot be written as ${tensor.dtype}; give its bytes`);
  }
}

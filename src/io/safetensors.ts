/** Reads safetensors files: the header strictly checked, tensors by their byte ranges. */
import type { FileHandle } from "node:fs/promises";
import { open, realpath } from "node:fs/promises";
import { GiantError } from "../base/errors.ts";
import { fileError } from "./file-error.ts";
import { floatsFromBfloat, floatsFromHalf } from "./half.ts";
import { scanJson } from "./json-scan.ts";

/**
 * Bits of one element of every element type the format knows, in the order the reference implementation ranks them
 * (huggingface/safetensors, `Dtype` in tensor.rs): it writes tensors by descending rank.
 */
export const SAFETENSORS_BITS: Readonly<Record<string, number>> = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
};

/** The reference implementation's limit on the header's length. */
const LONGEST_HEADER_BYTES = 100_000_000;

/** Bytes read at once when a tensor is converted, so that only a block of the source lies in memory. */
const BLOCK_BYTES = 16 * 1024 * 1024;

export interface TensorEntry {
  readonly name: string;
  /** Element type by its safetensors name (`F32`, `BF16`, …). */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** The real file (symbolic links resolved) that holds the tensor. */
  readonly file: string;
  /** Where the tensor begins, in bytes from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface SafetensorsFile {
  readonly path: string;
  readonly realPath: string;
  /** Size of the whole file in bytes. */
  readonly bytes: number;
  /** Where the data begins, in bytes from the start of the file. */
  readonly dataOffset: number;
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads and checks the header of a safetensors file.
 * @throws GiantError("file") when it cannot be read, GiantError("format") naming file and tensor when it breaks the format.
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsFile> {
  const { realPath, size, head } = await withFile(path, async (file) => {
    const { size } = await file.stat();
    if (size < 8) throw broken(path, `${size} bytes are too few for a safetensors file`, INCOMPLETE);
    const length = Number((await readExactly(file, 0, 8, path)).readBigUInt64LE(0));
    if (length > LONGEST_HEADER_BYTES)
      throw broken(path, `the header claims ${length} bytes, at most ${LONGEST_HEADER_BYTES} are allowed`, "Check that this is a safetensors file.");
    if (8 + length > size) throw broken(path, `the header claims ${length} bytes, but only ${size - 8} follow`, INCOMPLETE);
    return { realPath: await realpath(path), size, head: await readExactly(file, 8, length, path) };
  });
  const header = parseHeader(path, head);
  const metadata = checkMetadata(path, header["__metadata__"]);
  const dataOffset = 8 + head.length;
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name !== "__metadata__") entries.push(checkEntry(path, name, value, realPath, dataOffset));
  }
  checkCoverage(path, entries, dataOffset, size);
  return { path, realPath, bytes: size, dataOffset, entries: new Map(entries.map((entry) => [entry.name, entry])), metadata };
}

/** The bytes of a tensor as they lie in the file (little endian, row-major). */
export async function readTensorBytes(entry: TensorEntry): Promise<Uint8Array> {
  return await withFile(entry.file, (file) => readExactly(file, entry.offset, entry.bytes, entry.file));
}

/**
 * A tensor as float32: F32, F16 and BF16 exactly, F64 rounded to nearest.
 * @throws GiantError("format") for other element types: read those with `readTensorBytes`.
 */
export async function readTensor(entry: TensorEntry): Promise<Float32Array> {
  const convert = CONVERSIONS[entry.dtype];
  if (convert === undefined) {
    throw new GiantError("format", `${entry.file}: tensor ${quoted(entry.name)} has element type ${entry.dtype}, but F32, F16, BF16 or F64 was needed`, {
      facts: { file: entry.file, tensor: entry.name, dtype: entry.dtype },
    });
  }
  const elementBytes = SAFETENSORS_BITS[entry.dtype]! / 8;
  const out = new Float32Array(entry.bytes / elementBytes);
  await withFile(entry.file, async (file) => {
    for (let done = 0; done < entry.bytes; done += BLOCK_BYTES) {
      const block = await readExactly(file, entry.offset + done, Math.min(BLOCK_BYTES, entry.bytes - done), entry.file);
      const first = done / elementBytes;
      convert(block.buffer, out.subarray(first, first + block.length / elementBytes));
    }
  });
  return out;
}

type Conversion = (block: ArrayBuffer, out: Float32Array) => void;
const CONVERSIONS: Readonly<Record<string, Conversion>> = {
  F32: (block, out) => out.set(new Float32Array(block)),
  F64: (block, out) => out.set(new Float64Array(block)),
  F16: (block, out) => floatsFromHalf(new Uint16Array(block), out),
  BF16: (block, out) => floatsFromBfloat(new Uint16Array(block), out),
};

const INCOMPLETE = "The file is probably incomplete: get it again.";

function broken(path: string, found: string, hint?: string, facts: Record<string, unknown> = {}): GiantError {
  return new GiantError("format", `${path}: ${found}`, { ...(hint === undefined ? {} : { hint }), facts: { file: path, ...facts } });
}

function brokenTensor(path: string, name: string, found: string): GiantError {
  return broken(path, `tensor ${quoted(name)}: ${found}`, undefined, { tensor: name });
}

/** A name on one line whatever it holds. */
function quoted(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function parseHeader(path: string, head: Uint8Array): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(head);
  } catch (error) {
    throw new GiantError("format", `${path}: the header is not valid UTF-8`, { facts: { file: path }, cause: error });
  }
  if (!text.startsWith("{")) throw broken(path, "the header is not a JSON object", "Check that this is a safetensors file.");
  const scan = scanJson(text);
  if (scan.problem !== undefined) throw broken(path, `the header is not valid JSON: at character ${scan.problem.offset}, ${scan.problem.message}`);
  if (scan.repeatedKeys.length > 0) throw brokenTensor(path, scan.repeatedKeys[0]!, "the name occurs twice in the header");
  return JSON.parse(text) as Record<string, unknown>;
}

function checkMetadata(path: string, metadata: unknown): Record<string, string> {
  if (metadata === undefined || metadata === null) return {};
  if (typeof metadata !== "object" || Array.isArray(metadata)) throw broken(path, `__metadata__ is ${shown(metadata)}, but an object of strings was needed`);
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string") throw broken(path, `__metadata__ ${quoted(key)} is ${shown(value)}, but a string was needed`);
  }
  return metadata as Record<string, string>;
}

function checkEntry(path: string, name: string, value: unknown, file: string, dataOffset: number): TensorEntry {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw brokenTensor(path, name, `its entry is ${shown(value)}, but an object was needed`);
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  if (typeof dtype !== "string" || !Object.hasOwn(SAFETENSORS_BITS, dtype)) throw brokenTensor(path, name, `unknown element type ${shown(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isCount))
    throw brokenTensor(path, name, `its shape is ${shown(shape)}, but an array of non-negative integers was needed`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw brokenTensor(path, name, `its data_offsets are ${shown(offsets)}, but two non-negative integers were needed`);
  }
  const [start, end] = offsets as [number, number];
  if (end < start) throw brokenTensor(path, name, `it ends (${end}) before it begins (${start})`);
  const bits = shape.reduce((product: number, size: number) => product * size, SAFETENSORS_BITS[dtype]!);
  if (!Number.isSafeInteger(bits)) throw brokenTensor(path, name, `its shape ${shown(shape)} is too large`);
  if (bits % 8 !== 0) throw brokenTensor(path, name, `its shape ${shown(shape)} of ${dtype} does not fill whole bytes`);
  if (bits / 8 !== end - start)
    throw brokenTensor(path, name, `shape ${shown(shape)} of ${dtype} takes ${bits / 8} bytes, but its data_offsets hold ${end - start}`);
  return { name, dtype, shape: shape as number[], file, offset: dataOffset + start, bytes: end - start };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** The tensors must follow each other without overlap or hole, and end where the file ends. */
function checkCoverage(path: string, entries: readonly TensorEntry[], dataOffset: number, size: number): void {
  const ordered = entries.toSorted((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let end = dataOffset;
  for (const entry of ordered) {
    if (entry.offset + entry.bytes > size) {
      throw broken(path, `tensor ${quoted(entry.name)}: it ends at byte ${entry.offset + entry.bytes}, but the file has ${size} bytes`, INCOMPLETE, {
        tensor: entry.name,
      });
    }
    if (entry.offset < end) throw brokenTensor(path, entry.name, "its data overlaps another tensor's");
    if (entry.offset > end) throw brokenTensor(path, entry.name, `${entry.offset - end} bytes before its data belong to no tensor`);
    end = entry.offset + entry.bytes;
  }
  if (end < size) throw broken(path, `${size - end} bytes at the end belong to no tensor`);
}

async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  try {
    const file = await open(path, "r");
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error, path, "read");
  }
}

/** Bytes in a buffer of their own (aligned for every element type), read in blocks: one read is limited to 2 GiB. */
async function readExactly(file: FileHandle, offset: number, length: number, path: string): Promise<Buffer<ArrayBuffer>> {
  const buffer = Buffer.from(new ArrayBuffer(length));
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(buffer, done, Math.min(length - done, 0x40000000), offset + done);
    if (bytesRead === 0) throw broken(path, `it ends at byte ${offset + done}, but byte ${offset + length} was needed`, INCOMPLETE);
    done += bytesRead;
  }
  return buffer;
}

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GiantError } from "../base/errors.ts";
import { readSafetensorsHeader, readTensor, readTensorBytes, SAFETENSORS_BITS } from "./safetensors.ts";
import { writeSafetensors } from "./safetensors-writer.ts";
import type { TensorToWrite } from "./safetensors-writer.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";

function fileOf(header: unknown, data: Uint8Array): Uint8Array {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

async function errorOf(path: string): Promise<GiantError> {
  const error = await readSafetensorsHeader(path).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(GiantError);
  expect((error as GiantError).message).not.toContain("\n");
  return error as GiantError;
}

const good = { dtype: "F32", shape: [2], data_offsets: [0, 8] };

describe("what the header check refuses", () => {
  const cases: [string, Uint8Array, RegExp][] = [
    ["an empty file", new Uint8Array(0), /0 bytes are too few/],
    ["a header longer than the file", fileOf({ a: good }, new Uint8Array(8)).subarray(0, 30), /claims 54 bytes, but only 22 follow/],
    ["an absurd header length", Buffer.from("ffffffffffffffff7b7d", "hex"), /at most 100000000/],
    ["truncated data", fileOf({ a: good }, new Uint8Array(7)), /tensor "a": it ends at byte 70, but the file has 69/],
    ["trailing bytes", fileOf({ a: good }, new Uint8Array(9)), /1 bytes at the end belong to no tensor/],
    ["invalid UTF-8", fileOf('{"\xff', new Uint8Array(0)).map((b) => (b === 0xc3 ? 0xff : b)), /not valid UTF-8/],
    ["invalid JSON", fileOf('{"a":}', new Uint8Array(0)), /not valid JSON: at character 5/],
    ["no object", fileOf("[]", new Uint8Array(0)), /not a JSON object/],
    ["an entry that is no object", fileOf({ a: 3 }, new Uint8Array(0)), /tensor "a": its entry is 3/],
    ["an unknown element type", fileOf({ a: { ...good, dtype: "F31" } }, new Uint8Array(8)), /unknown element type "F31"/],
    ["an inherited name as element type", fileOf({ a: { ...good, dtype: "constructor" } }, new Uint8Array(8)), /unknown element type/],
    ["a negative dimension", fileOf({ a: { ...good, shape: [-2] } }, new Uint8Array(8)), /shape is \[-2\]/],
    ["a fractional dimension", fileOf({ a: { ...good, shape: [2.5] } }, new Uint8Array(8)), /shape is \[2.5\]/],
    ["no shape", fileOf({ a: { dtype: "F32", data_offsets: [0, 8] } }, new Uint8Array(8)), /shape is nothing/],
    ["an overflowing shape", fileOf({ a: { ...good, shape: [2 ** 40, 2 ** 40] } }, new Uint8Array(8)), /too large/],
    ["offsets that do not fit the shape", fileOf({ a: { ...good, shape: [3] } }, new Uint8Array(8)), /takes 12 bytes, but its data_offsets hold 8/],
    ["reversed offsets", fileOf({ a: { ...good, data_offsets: [8, 0] } }, new Uint8Array(8)), /ends \(0\) before it begins \(8\)/],
    ["offsets of the wrong kind", fileOf({ a: { ...good, data_offsets: ["0", 8] } }, new Uint8Array(8)), /two non-negative integers/],
    ["overlapping tensors", fileOf({ a: good, b: { ...good, data_offsets: [4, 12] } }, new Uint8Array(12)), /tensor "b": its data overlaps/],
    ["a hole", fileOf({ a: good, b: { ...good, data_offsets: [12, 20] } }, new Uint8Array(20)), /tensor "b": 4 bytes before its data/],
    ["a name twice", fileOf(`{"a":${JSON.stringify(good)},"a":${JSON.stringify(good)}}`, new Uint8Array(8)), /tensor "a": the name occurs twice/],
    ["a name twice, once escaped", fileOf(`{"a":${JSON.stringify(good)},"\\u0061":${JSON.stringify(good)}}`, new Uint8Array(8)), /occurs twice/],
    ["metadata that are not strings", fileOf({ __metadata__: { a: 1 } }, new Uint8Array(0)), /__metadata__ "a" is 1/],
    ["half a byte", fileOf({ a: { dtype: "F4", shape: [3], data_offsets: [0, 2] } }, new Uint8Array(2)), /whole bytes/],
    ["a name with a line break", fileOf({ "a\nb": 3 }, new Uint8Array(0)), /tensor "a\\nb"/],
  ];
  for (const [name, bytes, message] of cases) {
    test(name, async () => {
      const path = join(temporaryFolder(), "x.safetensors");
      writeFileSync(path, bytes);
      const error = await errorOf(path);
      expect(error.code).toBe("format");
      expect(error.message).toMatch(message);
      expect(error.message).toContain(path);
    });
  }

  test("a file that is not there", async () => {
    const error = await errorOf("/nowhere/x.safetensors");
    expect(error.code).toBe("file");
    expect(error.message).toMatch(/cannot read: it does not exist/);
  });
});

describe("reading", () => {
  test("empty tensors, scalars and every element type pass", async () => {
    const path = join(temporaryFolder(), "x.safetensors");
    const tensors = Object.entries(SAFETENSORS_BITS).flatMap(([dtype, bits]): TensorToWrite[] => [
      { name: `${dtype} eight`, dtype, shape: [2, 4], data: Uint8Array.from({ length: bits }, (_, i) => i) },
      { name: `${dtype} none`, dtype, shape: [3, 0], data: new Uint8Array(0) },
    ]);
    await writeSafetensors(path, [...tensors, { name: "scalar", dtype: "F32", shape: [], data: Float32Array.of(7) }]);
    const file = await readSafetensorsHeader(path);
    expect(file.entries.size).toBe(tensors.length + 1);
    expect(await readTensor(file.entries.get("scalar")!)).toEqual(Float32Array.of(7));
    for (const tensor of tensors) expect(new Uint8Array(await readTensorBytes(file.entries.get(tensor.name)!))).toEqual(tensor.data);
    await expect(readTensor(file.entries.get("I64 eight")!)).rejects.toThrow(/tensor "I64 eight" has element type I64/);
  });

  test("the four float types become float32, at offsets that are not aligned", async () => {
    const path = join(temporaryFolder(), "x.safetensors");
    const data = Buffer.alloc(1 + 4 + 8 + 2 + 2);
    data.writeFloatLE(1.5, 1);
    data.writeDoubleLE(0.1, 5);
    data.writeUInt16LE(0x3e00, 13); // 1.5
    data.writeUInt16LE(0xbfc0, 15); // -1.5
    const one = (dtype: string, start: number, bytes: number): unknown => ({ dtype, shape: [1], data_offsets: [start, start + bytes] });
    writeFileSync(path, fileOf({ u: one("U8", 0, 1), f: one("F32", 1, 4), d: one("F64", 5, 8), h: one("F16", 13, 2), b: one("BF16", 15, 2) }, data));
    const { entries } = await readSafetensorsHeader(path);
    const read = async (name: string): Promise<number> => (await readTensor(entries.get(name)!))[0]!;
    expect([await read("f"), await read("d"), await read("h"), await read("b")]).toEqual([1.5, Math.fround(0.1), 1.5, -1.5]);
  });

  test("tensors larger than one block come whole", async () => {
    const path = join(temporaryFolder(), "x.safetensors");
    const values = Float32Array.from({ length: 9_000_001 }, (_, i) => (i % 2048) - 1024); // exact in half precision
    await writeSafetensors(path, [
      { name: "h", dtype: "F16", shape: [values.length], data: () => values },
      { name: "f", dtype: "F32", shape: [values.length], data: async () => values },
    ]);
    const { entries } = await readSafetensorsHeader(path);
    for (const name of ["h", "f"]) {
      const back = await readTensor(entries.get(name)!);
      expect(Buffer.compare(Buffer.from(back.buffer), Buffer.from(values.buffer))).toBe(0);
    }
  });
});

describe("writing", () => {
  test("lays tensors out by element type, then name, behind a header of a multiple of 8 bytes", async () => {
    const path = join(temporaryFolder(), "x.safetensors");
    const bytes = new Uint8Array(8);
    async function* tensors(): AsyncGenerator<TensorToWrite> {
      yield { name: "2", dtype: "F16", shape: [4], data: bytes };
      yield { name: "b", dtype: "F32", shape: [2], data: bytes };
      yield { name: "i", dtype: "I64", shape: [1], data: bytes };
      yield { name: "a", dtype: "F32", shape: [2], data: bytes };
      yield { name: "1", dtype: "BF16", shape: [4], data: bytes };
    }
    await writeSafetensors(path, tensors(), { format: "pt" });
    const file = readFileSync(path);
    const length = Number(file.readBigUInt64LE(0));
    expect(length % 8).toBe(0);
    const header = file.toString("utf8", 8, 8 + length);
    expect(header.startsWith('{"__metadata__":{"format":"pt"},"i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"a":')).toBe(true);
    const { entries, metadata, dataOffset } = await readSafetensorsHeader(path);
    expect(metadata).toEqual({ format: "pt" });
    expect([...entries.values()].toSorted((a, b) => a.offset - b.offset).map((entry) => entry.name)).toEqual(["i", "a", "b", "1", "2"]);
    expect(entries.get("i")!.offset).toBe(dataOffset);
  });

  test("data of the wrong size leave nothing behind", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "x.safetensors");
    await expect(writeSafetensors(path, [{ name: "a", dtype: "F32", shape: [2], data: Float32Array.of(1) }])).rejects.toThrow(/takes 2 elements, got 1/);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("fuzzing: a GiantError or the right content, nothing else", () => {
  const arbitraryTensors = fc.uniqueArray(
    fc.record({
      name: fc.string({ unit: "binary", maxLength: 8 }),
      shape: fc.array(fc.nat(4), { maxLength: 3 }),
      dtype: fc.constantFrom("F32", "F16", "BF16", "I64", "U8", "BOOL"),
    }),
    { selector: (tensor) => tensor.name, maxLength: 5 },
  );
  const filled = (tensors: { name: string; shape: number[]; dtype: string }[]): TensorToWrite[] =>
    tensors
      .filter((tensor) => tensor.name !== "__metadata__")
      .map((tensor, k) => {
        const bytes = (tensor.shape.reduce((a, b) => a * b, 1) * SAFETENSORS_BITS[tensor.dtype]!) / 8;
        return { ...tensor, data: Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + k) & 255) };
      });

  async function survives(path: string, bytes: Uint8Array): Promise<void> {
    writeFileSync(path, bytes);
    try {
      const file = await readSafetensorsHeader(path);
      // Accepted: then every byte behind the header belongs to exactly one tensor.
      let sum = 0;
      for (const entry of file.entries.values()) {
        const data = await readTensorBytes(entry);
        expect(Buffer.compare(data, bytes.subarray(entry.offset, entry.offset + entry.bytes))).toBe(0);
        sum += data.length;
      }
      expect(sum).toBe(bytes.length - file.dataOffset);
    } catch (error) {
      if (!(error instanceof GiantError)) throw error;
      expect(["format", "file"]).toContain(error.code);
      expect(error.message).not.toContain("\n");
    }
  }

  test("what is written is read", async () => {
    const path = join(temporaryFolder(), "x.safetensors");
    await fc.assert(
      fc.asyncProperty(arbitraryTensors, async (shapes) => {
        const tensors = filled(shapes);
        await writeSafetensors(path, tensors);
        const { entries } = await readSafetensorsHeader(path);
        expect(entries.size).toBe(tensors.length);
        for (const tensor of tensors) {
          const entry = entries.get(tensor.name)!;
          expect([entry.dtype, entry.shape]).toEqual([tensor.dtype, tensor.shape]);
          expect(new Uint8Array(await readTensorBytes(entry))).toEqual(tensor.data);
        }
      }),
      { numRuns: 50 },
    );
  });

  test("random bytes, alone and behind a fitting length", async () => {
    const path = join(temporaryFolder(), "x.safetensors");
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), (bytes) => survives(path, bytes)),
      { numRuns: 200 },
    );
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary" }), (text) => survives(path, fileOf(`{${text}`, new Uint8Array(4)))),
      { numRuns: 200 },
    );
  });

  test("valid files cut off, or with flipped bits", async () => {
    const path = join(temporaryFolder(), "x.safetensors");
    await fc.assert(
      fc.asyncProperty(arbitraryTensors, fc.double({ min: 0, max: 1, noNaN: true }), fc.array(fc.nat(), { maxLength: 3 }), async (shapes, keep, flips) => {
        await writeSafetensors(path, filled(shapes));
        const bytes = readFileSync(path);
        await survives(path, bytes.subarray(0, Math.floor(bytes.length * keep)));
        for (const flip of flips) bytes[Math.floor(flip / 8) % bytes.length]! ^= 1 << (flip % 8);
        await survives(path, bytes);
      }),
      { numRuns: 200 },
    );
  });

  test("headers that lie", async () => {
    const path = join(temporaryFolder(), "x.safetensors");
    const number = fc.oneof(fc.nat(16), fc.integer(), fc.double(), fc.constantFrom(2 ** 53, 1e300, -0));
    const lie = fc.oneof(
      fc.record(
        {
          dtype: fc.oneof(fc.constantFrom(...Object.keys(SAFETENSORS_BITS)), fc.string()),
          shape: fc.array(number, { maxLength: 3 }),
          data_offsets: fc.array(number, { maxLength: 3 }),
        },
        { requiredKeys: [] },
      ),
      fc.jsonValue(),
    );
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string(), lie, { maxKeys: 4 }), fc.nat(32), (header, bytes) => survives(path, fileOf(header, new Uint8Array(bytes)))),
      { numRuns: 500 },
    );
  });
});

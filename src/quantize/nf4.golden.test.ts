/** NF4 and double quantisation against bitsandbytes: the same codes and magnitudes, and the same bits when read back. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenFolder, readJson } from "../../test/golden.ts";
import { SCORE, worstExcess } from "../../test/tolerance.ts";
import { bfloatFromFloats } from "../io/half.ts";
import { readSafetensorsHeader, readTensor, readTensorBytes, type TensorEntry } from "../io/safetensors.ts";
import { dequantizeAbsmax, DYNAMIC_MAP, quantizeAbsmax } from "./double-quantization.ts";
import { dequantizeNf4, NF4_TABLE, quantizeNf4 } from "./nf4.ts";

const folder = join(goldenFolder(), "nf4");
const { cases } = readJson<{ cases: readonly { readonly name: string; readonly shape: readonly number[] }[] }>(folder, "matrices.json");
const { entries } = await readSafetensorsHeader(join(folder, "matrices.safetensors"));
const tables = readJson<{ nf4_code: readonly number[]; dynamic_map_8bit_signed: readonly number[] }>(folder, "tables.json");

const entry = (name: string): TensorEntry => entries.get(name)!;
const floatsOf = async (name: string): Promise<Float32Array> => await readTensor(entry(name));
const bytesOf = async (name: string): Promise<Uint8Array> => new Uint8Array(await readTensorBytes(entry(name)));

describe("tables", () => {
  it("are the paper's sixteen quantiles and bitsandbytes' dynamic map", () => {
    expect([...NF4_TABLE]).toEqual(tables.nf4_code);
    expect([...DYNAMIC_MAP]).toEqual(tables.dynamic_map_8bit_signed);
  });
});

describe.each(cases.map(({ name }) => ({ name, blockSize: 64 })).concat([32, 128, 256].map((blockSize) => ({ name: `bs${blockSize}`, blockSize }))))(
  "$name in blocks of $blockSize",
  ({ name, blockSize }) => {
    it("has the reference's codes and magnitudes, and comes back to the same bits", async () => {
      const weights = await floatsOf(`${name}.weight`);
      const found = quantizeNf4(weights, blockSize);
      expect(found.codes).toEqual(await bytesOf(`${name}.packed`));
      expect(found.absmax).toEqual(await floatsOf(`${name}.absmax`));
      expect(dequantizeNf4(found, blockSize, new Float32Array(weights.length))).toEqual(await floatsOf(`${name}.dequant`));
    });
  },
);

describe.each(cases)("$name doubly quantised", ({ name }) => {
  it("has the reference's codes of magnitudes, and comes back to the same bits", async () => {
    const found = quantizeAbsmax(await floatsOf(`${name}.absmax`));
    expect(found.codes).toEqual(await bytesOf(`${name}.dq.absmax_q`));
    const [offset] = await floatsOf(`${name}.dq.offset`);
    // The reference's mean is summed in another order.
    expect(worstExcess([found.offset], [offset!], SCORE).excess).toBeLessThanOrEqual(1);
    expect(worstExcess(found.nested, await floatsOf(`${name}.dq.nested_absmax`), SCORE).excess).toBeLessThanOrEqual(1);
    const theirs = { codes: found.codes, nested: await floatsOf(`${name}.dq.nested_absmax`), offset: offset! };
    const absmax = dequantizeAbsmax(theirs);
    expect(absmax).toEqual(await floatsOf(`${name}.dq.absmax_dequant`));
    const expected = await floatsOf(`${name}.dq.dequant`);
    expect(dequantizeNf4({ codes: await bytesOf(`${name}.packed`), absmax }, 64, new Float32Array(expected.length))).toEqual(expected);
  });
});

describe("a bfloat16 matrix", () => {
  it("has the reference's codes, and its values when they are rounded to bfloat16", async () => {
    const weights = await floatsOf("bf16.weight");
    const found = quantizeNf4(weights, 64);
    expect(found.codes).toEqual(await bytesOf("bf16.packed"));
    expect(found.absmax).toEqual(await floatsOf("bf16.absmax"));
    const rounded = bfloatFromFloats(dequantizeNf4(found, 64, new Float32Array(weights.length)));
    expect(new Uint8Array(rounded.buffer)).toEqual(await bytesOf("bf16.dequant"));
  });
});

import { mkdirSync, readFileSync, renameSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { fingerprintText, fingerprintWeights } from "./fingerprint.ts";
import { readModelFolder, readTokenizerFiles } from "./model-folder.ts";
import { readTensor } from "./safetensors.ts";
import { writeSafetensors } from "./safetensors-writer.ts";

async function weights(path: string, ...names: string[]): Promise<void> {
  await writeSafetensors(
    path,
    names.map((name, i) => ({ name, dtype: "F32", shape: [2], data: Float32Array.of(i, name.length) })),
  );
}

async function sharded(map?: Record<string, unknown>): Promise<string> {
  const folder = temporaryFolder();
  await weights(join(folder, "model-00001-of-00002.safetensors"), "a", "b");
  await weights(join(folder, "model-00002-of-00002.safetensors"), "c");
  const weight_map = map ?? { a: "model-00001-of-00002.safetensors", b: "model-00001-of-00002.safetensors", c: "model-00002-of-00002.safetensors" };
  writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map }));
  return folder;
}

describe("checkpoints", () => {
  test("shards are one set of tensors", async () => {
    const folder = await sharded();
    const { entries, weightsFolder, files } = await openCheckpoint(folder);
    expect([...entries.keys()]).toEqual(["a", "b", "c"]);
    expect(await readTensor(entries.get("b")!)).toEqual(Float32Array.of(1, 1));
    expect([weightsFolder, files.length]).toEqual([folder, 2]);
  });

  test("links into another folder are resolved, as in the Hub's cache", async () => {
    const folder = await sharded();
    mkdirSync(join(folder, "blobs"));
    mkdirSync(join(folder, "snapshot"));
    for (const [name, blob] of [
      ["model-00001-of-00002.safetensors", "f00"],
      ["model-00002-of-00002.safetensors", "ba4"],
      ["model.safetensors.index.json", "1dex"],
    ] as const) {
      renameSync(join(folder, name), join(folder, "blobs", blob));
      symlinkSync(join("..", "blobs", blob), join(folder, "snapshot", name));
    }
    const { entries, weightsFolder } = await openCheckpoint(join(folder, "snapshot"));
    expect(weightsFolder).toBe(join(folder, "blobs"));
    expect(entries.get("c")!.file).toBe(join(folder, "blobs", "ba4"));
    renameSync(join(folder, "blobs", "ba4"), join(folder, "ba4"));
    symlinkSync(join("..", "ba4"), join(folder, "blobs", "ba4"));
    await expect(openCheckpoint(join(folder, "snapshot"))).rejects.toMatchObject({
      code: "model",
      message: expect.stringMatching(/lie in different folders/) as unknown,
    });
  });

  test.each([
    [{ a: "model-00003-of-00003.safetensors" }, /shard model-00003-of-00003.safetensors is missing/],
    [{ a: "../model-00001-of-00002.safetensors" }, /name of a .safetensors file in the same folder/],
    [{ a: 3 }, /weight_map names 3 for a/],
    [{ c: "model-00001-of-00002.safetensors" }, /tensor c is said to be in model-00001-of-00002.safetensors, but is not there/],
    [{ a: "model-00001-of-00002.safetensors", c: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" }, /but is in model-0000/],
    [{}, /weight_map is empty/],
  ])("an index that lies: %j", async (map, message) => {
    await expect(openCheckpoint(await sharded(map))).rejects.toThrow(message);
  });

  test("a truncated shard, pickled weights, no weights", async () => {
    const folder = await sharded();
    truncateSync(join(folder, "model-00002-of-00002.safetensors"), 70);
    await expect(openCheckpoint(folder)).rejects.toMatchObject({
      code: "format",
      message: expect.stringMatching(/model-00002-of-00002.safetensors: /) as unknown,
    });
    const other = temporaryFolder();
    await expect(openCheckpoint(other)).rejects.toThrow(/no weights: neither/);
    writeFileSync(join(other, "pytorch_model.bin"), "");
    await expect(openCheckpoint(other)).rejects.toMatchObject({
      message: expect.stringMatching(/in pytorch_model.bin, but model.safetensors was needed/) as unknown,
      hint: expect.stringMatching(/save_pretrained/) as unknown,
    });
  });
});

describe("model folders", () => {
  test("are read with everything that is there", async () => {
    const folder = await sharded();
    writeFileSync(join(folder, "config.json"), '\ufeff{"model_type":"llama"}');
    writeFileSync(join(folder, "generation_config.json"), '{"eos_token_id":2}');
    writeFileSync(join(folder, "tokenizer.json"), "{}");
    writeFileSync(join(folder, "chat_template.json"), '{"chat_template":"json"}');
    const model = await readModelFolder(folder);
    expect(model).toMatchObject({ config: { model_type: "llama" }, generationConfig: { eos_token_id: 2 }, tokenizer: {}, chatTemplate: "json" });
    expect(model).not.toHaveProperty("tokenizerConfig");
    expect(model.checkpoint.entries.size).toBe(3);
    writeFileSync(join(folder, "chat_template.jinja"), "jinja");
    expect((await readTokenizerFiles(folder)).chatTemplate).toBe("jinja");
  });

  test("what is missing or broken is named", async () => {
    const folder = await sharded();
    await expect(readModelFolder(folder)).rejects.toMatchObject({ code: "model", message: `${folder} is not a model folder: config.json is missing` });
    await expect(readModelFolder(join(folder, "none"))).rejects.toMatchObject({ code: "file", message: expect.stringMatching(/does not exist/) as unknown });
    await expect(readModelFolder(join(folder, "model.safetensors.index.json"))).rejects.toThrow(/is a file, but a model folder was needed/);
    writeFileSync(join(folder, "config.json"), '{\n  "a": 1,\n}');
    await expect(readModelFolder(folder)).rejects.toMatchObject({
      code: "format",
      message: `${join(folder, "config.json")}:3: column 1: a key in quotes was expected, found "}"`,
    });
    writeFileSync(join(folder, "config.json"), "[]");
    await expect(readModelFolder(folder)).rejects.toThrow(/it holds an array, but an object was needed/);
  });
});

test("fingerprints tell weights and texts apart", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "model.safetensors");
  const values = new Float32Array(2_000_000); // 8 MB: sampled
  const write = (): Promise<void> => writeSafetensors(path, [{ name: "w", dtype: "F32", shape: [values.length], data: values }]);
  const fingerprint = async (): Promise<string> => fingerprintWeights(await openCheckpoint(folder));
  await write();
  const first = await fingerprint();
  expect(first).toMatch(/^sha256-sampled:[0-9a-f]{64}$/);
  await write();
  expect(await fingerprint()).toBe(first);
  values[values.length - 1] = 1;
  await write();
  expect(await fingerprint()).not.toBe(first);
  values[values.length - 1] = 0;
  await writeSafetensors(path, [{ name: "v", dtype: "F32", shape: [values.length], data: values }]);
  expect(await fingerprint()).not.toBe(first);
  const small = temporaryFolder();
  await weights(join(small, "model.safetensors"), "a");
  const before = await fingerprintWeights(await openCheckpoint(small));
  const bytes = readFileSync(join(small, "model.safetensors"));
  bytes[bytes.length - 5]! ^= 1;
  writeFileSync(join(small, "model.safetensors"), bytes);
  expect(await fingerprintWeights(await openCheckpoint(small))).not.toBe(before);
  // FIPS 180-2's example.
  expect(fingerprintText("abc")).toBe("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { outlineModel } from "./model-outline.ts";

const config = {
  model_type: "llama",
  hidden_size: 64,
  intermediate_size: 172,
  num_hidden_layers: 2,
  num_attention_heads: 8,
  vocab_size: 300,
  tie_word_embeddings: true,
  torch_dtype: "bfloat16",
};

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "outline-"));
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  await writeFile(join(folder, "other.json"), JSON.stringify({ ...config, model_type: "mamba" }));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe("outline of a model", () => {
  test("a config.json is enough, by itself or in a folder", async () => {
    for (const path of [folder, join(folder, "config.json")]) {
      const { parameterCount, storage, model } = await outlineModel(path);
      // Embeddings, and per layer four square matrices, three of the MLP and two norms; the last norm.
      expect(parameterCount).toBe(300 * 64 + 2 * (4 * 64 * 64 + 3 * 64 * 172 + 2 * 64) + 64);
      expect(storage("model.norm.weight")).toBe("BF16");
      expect(model).toBeUndefined();
    }
  });

  test("another element type may be asked for", async () => {
    expect((await outlineModel(folder, "F32")).storage("model.norm.weight")).toBe("F32");
  });

  test("what is missing or unknown is said in one line", async () => {
    await expect(outlineModel(join(folder, "absent"))).rejects.toThrow(/absent: no such file or folder$/);
    await expect(outlineModel(join(folder, "other.json"))).rejects.toThrow(/other\.json: model_type is "mamba"; supported are /);
    const empty = await mkdtemp(join(tmpdir(), "outline-"));
    await expect(outlineModel(empty)).rejects.toThrow(/is not a model folder: config\.json is missing$/);
    await rm(empty, { recursive: true });
  });
});

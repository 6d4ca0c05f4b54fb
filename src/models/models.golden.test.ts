import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { goldenCases, notCovered, readJson } from "../../test/golden.ts";
import { type GoldenBatch, referenceLogits, tokenRows } from "../../test/golden-batch.ts";
import { LOGITS, LOSS, worstExcess } from "../../test/tolerance.ts";
import type { HostTensor } from "../core/dtype.ts";
import { integers } from "../core/dtype.ts";
import { gather, input, reshape, sumAll } from "../core/operations.ts";
import { readSafetensorsHeader, readTensor } from "../io/safetensors.ts";
import { crossEntropy } from "../nn/loss.ts";
import { plainContext } from "../nn/context.ts";
import { parameter } from "../core/operations.ts";
import { forward } from "../nn/decoder.ts";
import { emit } from "../onnx/emit.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { openModel } from "../workbench/open-model.ts";
import { openGenerator } from "../generate/generator.ts";
import { decoderInputs } from "./architecture.ts";
import { decoderFeeds, padToBlocks } from "./feeds.ts";
import { describeModel } from "./registry.ts";

interface ModelReference {
  readonly batches: Readonly<Record<string, GoldenBatch>>;
  readonly greedy: {
    readonly prompt: number[][];
    readonly new_tokens: number[][];
    readonly batched_left_padded: { input_ids: number[][]; attention_mask: number[][]; new_tokens: number[][] };
  };
}

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
});
afterAll(() => engine.close());

describe.each(goldenCases("models"))("models/$name", ({ name, folder }) => {
  const config = readJson<Record<string, unknown>>(folder, "config.json");
  const missing = notCovered(folder);
  const reference = readJson<ModelReference>(folder, "reference.json");

  it("gives the reference's logits and losses on every batch", async (context) => {
    if (missing !== undefined) return context.skip(`not covered: ${name}: ${missing}`);
    const model = await openModel(folder);
    const { architecture } = model;
    const plain = plainContext({ leaf: parameter });
    const hidden = forward(architecture.decoder, plain, decoderInputs(architecture));
    const logits = plain.linear(architecture.head.path, hidden, architecture.head.spec);
    const [rows, ids] = [input("labelRows", "int32", ["N"]), input("labelIds", "int32", ["N"])];
    const picked = gather(hidden, rows);
    const loss = sumAll(
      crossEntropy(
        plain.linear(architecture.head.path, picked, architecture.head.spec),
        plain.linearAt(architecture.head.path, picked, ids, architecture.head.spec),
      ),
    );
    const program = await engine.open(
      encodeModel(emit({ logits: reshape(logits, hidden.shape.slice(0, 1).concat([architecture.vocabSize])), loss }, { target: "cpu", weights: model.locate })),
      { weightsFolder: model.weightsFolder },
    );
    const expected = await readSafetensorsHeader(join(folder, "expected.safetensors"));
    for (const [batchName, batch] of Object.entries(reference.batches)) {
      const made = tokenRows(batch);
      const padded = padToBlocks(made);
      const outputs = await program.run(
        {
          ...decoderFeeds(architecture, padded),
          labelRows: integers([padded.labelRows.length], padded.labelRows),
          labelIds: integers([padded.labelIds.length], padded.labelIds),
        },
        { logits: "host", loss: "host" },
      );
      const found = referenceLogits((outputs["logits"] as HostTensor).data as Float32Array, padded.length, made, architecture.vocabSize);
      const worst = worstExcess(found, await readTensor(expected.entries.get(`${batchName}.logits`)!), LOGITS);
      expect(worst.excess, `${batchName} logits[${worst.index}]: ${worst.actual}, reference ${worst.expected}`).toBeLessThanOrEqual(1);
      const mean = (outputs["loss"] as HostTensor).data[0]! / made.labelIds.length;
      expect(worstExcess([mean], [batch.loss], LOSS).excess, `${batchName} loss ${mean}, reference ${batch.loss}`).toBeLessThanOrEqual(1);
    }
    await program.close();
  });

  it("continues greedily through the cache with the reference's tokens, alone and in a left-padded batch", async (context) => {
    if (missing !== undefined) return context.skip(`not covered: ${name}: ${missing}`);
    const model = await openModel(folder);
    const generator = await openGenerator(engine, model);
    const alone = await generator.generate([reference.greedy.prompt[0]!], { maxTokens: 32, stopTokens: [] });
    expect(alone[0]).toEqual(reference.greedy.new_tokens[0]);
    const { input_ids, attention_mask, new_tokens } = reference.greedy.batched_left_padded;
    const prompts = input_ids.map((ids, b) => ids.filter((_, t) => attention_mask[b]![t] === 1));
    expect(await generator.generate(prompts, { maxTokens: 32, stopTokens: [] })).toEqual(new_tokens);
    await generator.close();
  });

  const newer = join(folder, "config_v5.json");
  if (existsSync(newer)) {
    it("reads the configuration the same way as transformers 5 writes it", (context) => {
      if (missing !== undefined) return context.skip(`not covered: ${name}: ${missing}`);
      const { decoder: _decoder, ...older } = describeModel(config, "config.json");
      expect(describeModel(readJson(newer), newer)).toMatchObject(older);
    });
  }
});

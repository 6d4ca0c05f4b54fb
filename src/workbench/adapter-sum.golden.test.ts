import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenCases, goldenFolder, readJson } from "../../test/golden.ts";
import { type GoldenBatch, tokenRows } from "../../test/golden-batch.ts";
import { openLogits } from "../../test/model-logits.ts";
import { LOGITS, MERGED_WEIGHT, type Tolerance, worstExcess } from "../../test/tolerance.ts";
import { readSafetensorsHeader, readTensor, type TensorEntry } from "../io/safetensors.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import type { LoadedAdapter } from "./adapter.ts";
import { concatenateAdapters, sumAdapters, type WeightedAdapter } from "./adapter-sum.ts";
import { loadAdapter } from "./load-adapter.ts";
import { mergeFolders } from "./merge-folders.ts";
import { openModel, type OpenModel } from "./open-model.ts";
import { saveAdapter } from "./save-adapter.ts";

interface Case {
  readonly base_model: string;
  readonly adapters: readonly { readonly folder: string; readonly weight: number }[];
}

let engine: Engine;
let scratch: string;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
  scratch = await mkdtemp(join(tmpdir(), "mini-giants-sum-"));
});
afterAll(async () => {
  await engine.close();
  await rm(scratch, { recursive: true, force: true });
});

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: Tolerance, what: string): void {
  const worst = worstExcess(actual, expected, tolerance);
  expect(worst.excess, `${what}[${worst.index}]: ${worst.actual}, reference ${worst.expected}`).toBeLessThanOrEqual(1);
}

const cases = goldenCases("adapter_sum");
if (cases.length === 0) it("adapter_sum", (context) => context.skip("no case of this kind in the golden folder"));

describe.each(cases)("adapter_sum/$name", ({ folder }) => {
  const { base_model, adapters } = readJson<Case>(folder, "case.json");
  const { batches } = readJson<{ batches: Record<string, GoldenBatch> }>(folder, "reference.json");
  const base = join(goldenFolder(), base_model);
  let model: OpenModel;
  let parts: WeightedAdapter[];
  let expected: ReadonlyMap<string, TensorEntry>;
  beforeAll(async () => {
    model = await openModel(base);
    parts = [];
    for (const part of adapters) parts.push({ name: part.folder, weight: part.weight, adapter: await loadAdapter(join(goldenFolder(), part.folder), model) });
    ({ entries: expected } = await readSafetensorsHeader(join(folder, "expected.safetensors")));
  });

  async function expectReference(of: OpenModel, adapter?: LoadedAdapter): Promise<void> {
    const program = await openLogits(engine, of, adapter);
    for (const [name, batch] of Object.entries(batches)) {
      const rows = tokenRows(batch);
      const logits = await program.of(rows);
      rows.segments.forEach((segment, n) => {
        if (segment === 0) logits.fill(0, n * of.architecture.vocabSize, (n + 1) * of.architecture.vocabSize);
      });
      expectClose(logits, await readTensor(expected.get(`${name}.logits`)!), LOGITS, name);
    }
    await program.close();
  }

  it("beside the base gives PEFT's logits", () => expectReference(model, sumAdapters(parts)));

  it("merged gives PEFT's logits", async () => {
    const output = join(scratch, "merged");
    const adapter = adapters.map((part) => `${join(goldenFolder(), part.folder)}=${part.weight}`);
    await mergeFolders({ model: base, adapter, output, asAdapter: false });
    await expectReference(await openModel(output));
  });

  it("saved as one adapter gives PEFT's logits, and is the adapter that PEFT saves", async () => {
    const output = join(scratch, "one");
    await saveAdapter(output, await concatenateAdapters(parts, model), model);
    const ours = await loadAdapter(output, model);
    await expectReference(model, ours);
    const theirs = (await readSafetensorsHeader(join(folder, "adapter_model.safetensors"))).entries;
    expect([...ours.tensors.keys()].toSorted()).toEqual([...theirs.keys()].toSorted());
    for (const [name, { shape, data }] of ours.tensors) {
      // PEFT fills every layer up to one rank with zeros, where we write a rank pattern.
      const { shape: wide } = theirs.get(name)!;
      const filled = new Float32Array(wide[0]! * wide[1]!);
      for (let row = 0; row < shape[0]!; row++) filled.set((data as Float32Array).subarray(row * shape[1]!, (row + 1) * shape[1]!), row * wide[1]!);
      expectClose(filled, await readTensor(theirs.get(name)!), MERGED_WEIGHT, name);
    }
  });
});

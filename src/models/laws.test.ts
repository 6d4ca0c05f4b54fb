/** What every model obeys whatever its family: nobody sees the future, and how texts are laid out changes nothing. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenCases, readJson } from "../../test/golden.ts";
import { type LogitsProgram, openLogits, randomTokens, rowsOf } from "../../test/model-logits.ts";
import { GRADIENT_OF_MAXIMUM, LOGITS, LOSS, worstExcess } from "../../test/tolerance.ts";
import { Random } from "../base/random.ts";
import type { Batch } from "../data/batch.ts";
import { openGenerator } from "../generate/generator.ts";
import { full } from "../peft/full.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { createLearner } from "../train/graph-learner.ts";
import { ADAMW } from "../train/step-graph.ts";
import { newAdapter } from "../workbench/adapter.ts";
import { openModel, type OpenModel } from "../workbench/open-model.ts";
import { padToBlocks } from "./feeds.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
});
afterAll(() => engine.close());

const close = (actual: ArrayLike<number>, expected: ArrayLike<number>, what = ""): void => {
  const worst = worstExcess(actual, expected, LOGITS);
  expect(worst.excess, `${what} [${worst.index}]: ${worst.actual}, needed ${worst.expected}`).toBeLessThanOrEqual(1);
};

/** −log p of each label, in float64, from logits. */
function lossesFrom(logits: Float32Array, batch: Batch, V: number): number[] {
  return [...batch.labelRows].map((row, n) => {
    const scores = Array.from(logits.subarray(row * V, (row + 1) * V));
    const largest = Math.max(...scores);
    return largest + Math.log(scores.reduce((sum, score) => sum + Math.exp(score - largest), 0)) - scores[batch.labelIds[n]!]!;
  });
}

describe.each(goldenCases("models"))("$name", ({ folder }) => {
  let model: OpenModel;
  let program: LogitsProgram;
  let V: number;
  let random: Random;
  beforeAll(async () => {
    model = await openModel(folder);
    V = model.architecture.vocabSize;
    program = await openLogits(engine, model);
    random = Random.named(1, folder.slice(folder.lastIndexOf("/")));
  });
  afterAll(() => program.close());
  const tokensOf = (length: number): number[] => randomTokens(random, length, V);

  it("is causal: a later token changes no earlier logit by one bit", async () => {
    for (const length of [12, 17]) {
      const tokens = tokensOf(length);
      const before = await program.of(rowsOf([[{ tokens }]]));
      for (const t of [1, 4, length - 1]) {
        const changed = tokens.with(t, (tokens[t]! + 1 + random.integer(V - 1)) % V);
        const after = await program.of(rowsOf([[{ tokens: changed }]]));
        expect(Buffer.compare(Buffer.from(after.slice(0, t * V).buffer), Buffer.from(before.slice(0, t * V).buffer)), `token ${t} of ${length}`).toBe(0);
        expect(after.slice(t * V, (t + 1) * V)).not.toEqual(before.slice(t * V, (t + 1) * V));
      }
    }
  });

  it("gives the same logits through the cache, whatever was fed at once", async () => {
    const tokens = tokensOf(30);
    const whole = await program.of(rowsOf([[{ tokens }]]));
    const generator = await openGenerator(engine, model);
    for (const first of [1, 5, 29]) {
      const seen: Float32Array[] = [];
      const forced = { next: (logits: Float32Array, history: readonly number[]): number => (seen.push(logits.slice()), tokens[history.length]!) };
      await generator.generate([tokens.slice(0, first)], { maxTokens: tokens.length - first, stopTokens: [], choosers: [forced] });
      expect(seen.length).toBe(tokens.length - first);
      seen.forEach((logits, i) => close(logits, whole.subarray((first - 1 + i) * V, (first + i) * V), `${first} first, then token ${i}`));
    }
    await generator.close();
  });

  it("gives each text of a left-padded batch what it gives it alone, through the cache", async () => {
    const texts = [3, 11, 7].map(tokensOf);
    const generator = await openGenerator(engine, model);
    const listen = (text: readonly number[]): { readonly logits: Float32Array[]; next(logits: Float32Array, history: readonly number[]): number } => {
      const logits: Float32Array[] = [];
      return { logits, next: (row, history) => (logits.push(row.slice()), (history.length * 7 + text[0]!) % V) };
    };
    const together = texts.map(listen);
    await generator.generate(texts, { maxTokens: 6, stopTokens: [], choosers: together });
    for (const [b, text] of texts.entries()) {
      const alone = listen(text);
      await generator.generate([text], { maxTokens: 6, stopTokens: [], choosers: [alone] });
      alone.logits.forEach((logits, i) => close(together[b]!.logits[i]!, logits, `text ${b}, token ${i}`));
    }
    await generator.close();
  });

  it("reads a batch as it reads its texts one by one, padded behind or in front, with anything as padding", async () => {
    const texts = [5, 16, 11].map(tokensOf);
    const alone = await Promise.all(texts.map((tokens) => program.of(rowsOf([[{ tokens }]]))));
    for (const left of [false, true]) {
      for (const padding of [0, V - 1]) {
        const batch = rowsOf(
          texts.map((tokens) => [{ tokens }]),
          { length: 19, left, padding },
        );
        const logits = await program.of(batch);
        texts.forEach((tokens, b) => {
          const from = b * batch.length + (left ? batch.length - tokens.length : 0);
          close(logits.subarray(from * V, (from + tokens.length) * V), alone[b]!, `text ${b}`);
        });
      }
    }
  });

  it("keeps packed texts apart: logits, losses and gradients as in rows of their own", async () => {
    const examples = [9, 6, 13].map((length, i) => ({ tokens: tokensOf(length), unlabelled: i }));
    const packed = rowsOf([examples]);
    const separate = rowsOf(examples.map((example) => [example]));
    const logits = await program.of(packed);
    let at = 0;
    for (const { tokens } of examples) {
      close(logits.subarray(at * V, (at + tokens.length) * V), await program.of(rowsOf([[{ tokens }]])));
      at += tokens.length;
    }
    const adapter = await newAdapter(full(model.inventory), model, 0);
    const learner = await createLearner({ engine, model, adapter, optimizer: ADAMW, maxGradNorm: 0 });
    const results = [];
    for (const batch of [packed, separate]) {
      const { lossSum } = await learner.accumulate(batch, 1 / batch.labelIds.length, 0);
      results.push({ lossSum, gradients: await learner.gradients() });
      await learner.load(await learner.save());
    }
    await learner.close();
    const [one, other] = results as [(typeof results)[0], (typeof results)[0]];
    expect(worstExcess([one.lossSum / packed.labelIds.length], [other.lossSum / packed.labelIds.length], LOSS).excess).toBeLessThanOrEqual(1);
    for (const [name, { data }] of other.gradients) {
      const largest = (data as Float32Array).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const worst = worstExcess(one.gradients.get(name)!.data, data, { absolute: GRADIENT_OF_MAXIMUM * largest + 1e-12, relative: 0 });
      expect(worst.excess, `${name}[${worst.index}]: ${worst.actual}, apart ${worst.expected}`).toBeLessThanOrEqual(1);
    }
  });

  it("is taught at any length what its logits say", async () => {
    const adapter = await newAdapter(full(model.inventory), model, 0);
    const learner = await createLearner({ engine, model, adapter, optimizer: ADAMW, maxGradNorm: 0 });
    const batches = [2, 3, 8, 9, 10, 15].map((length) => rowsOf([[{ tokens: tokensOf(length), unlabelled: 1 }], [{ tokens: tokensOf(2) }]], { length }));
    for (const compute of [(batch: Batch) => learner.evaluate(batch), (batch: Batch) => learner.accumulate(batch, 1, 0)]) {
      for (const batch of batches) {
        const expected = lossesFrom(await program.of(batch), batch, V).reduce((a, b) => a + b, 0);
        const { lossSum } = await compute(batch);
        expect(
          worstExcess([lossSum / batch.labelIds.length], [expected / batch.labelIds.length], LOSS).excess,
          `length ${batch.length}: ${lossSum}, by its logits ${expected}`,
        ).toBeLessThanOrEqual(1);
      }
    }
    await learner.close();
  });

  const { model_type: family, sliding_window: window } = readJson<{ model_type: string; sliding_window?: number | null }>(folder, "config.json");
  if (family !== "mistral" || typeof window !== "number") return;
  it("looks back as far as its window lets it and no further", async () => {
    const reach = model.architecture.numHiddenLayers * (window - 1);
    const tokens = tokensOf(reach + 6);
    const before = await program.of(rowsOf([[{ tokens }]]));
    const after = await program.of(rowsOf([[{ tokens: tokens.with(0, (tokens[0]! + 1) % V) }]]));
    const changed = (t: number): boolean => before.subarray(t * V, (t + 1) * V).some((value, i) => value !== after[t * V + i]);
    // By way of the layers between, the first token reaches `reach` positions further; each single layer `window` − 1.
    for (let t = 0; t < tokens.length; t++) if (t > reach) expect(changed(t), `position ${t}`).toBe(false);
    for (let t = 0; t < window; t++) expect(changed(t), `position ${t}`).toBe(true);
    expect(Array.from({ length: reach - window + 1 }, (_, i) => changed(window + i)).some(Boolean)).toBe(true);
  });
});

it("pads rows to whole blocks and moves their labels along", () => {
  for (let length = 1; length <= 9; length++) {
    const tokens = Array.from({ length }, (_, t) => t + 1);
    const batch = rowsOf([[{ tokens }], [{ tokens }]]);
    const padded = padToBlocks(batch);
    expect(padded.length % 4).toBe(0);
    expect(padded.length - length).toBeLessThan(4);
    padded.labelRows.forEach((row, n) => {
      expect([padded.tokens[row], padded.positions[row], padded.segments[row]]).toEqual([padded.labelIds[n]! - 1, padded.labelIds[n]! - 2, 1]);
      expect(Math.floor(row / padded.length)).toBe(Math.floor(batch.labelRows[n]! / length));
    });
    expect(padded.segments.reduce((sum, segment) => sum + segment, 0)).toBe(2 * length);
  }
});

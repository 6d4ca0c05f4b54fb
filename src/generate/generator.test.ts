import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { goldenFolder } from "../../test/golden.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { openModel } from "../workbench/open-model.ts";
import { openGenerator } from "./generator.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
});
afterAll(() => engine.close());

const options = { maxTokens: 12, stopTokens: [] };

it.each(["llama_gqa", "mistral_swa", "gpt2"])("%s: a text that goes on from the last one gives what a fresh start gives", async (name) => {
  const model = await openModel(join(goldenFolder(), "models", name));
  const fresh = async (prompt: readonly number[]): Promise<number[]> => {
    const generator = await openGenerator(engine, model);
    const [tokens] = await generator.generate([prompt], options);
    await generator.close();
    return tokens!;
  };
  const generator = await openGenerator(engine, model);
  const first = [5, 90, 17, 33, 8, 120, 44, 61];
  const [answer] = await generator.generate([first], options);
  expect(answer).toEqual(await fresh(first));
  const turns = [
    [...first, ...answer!, 7, 99], // goes on behind the answer
    [...first, ...answer!.slice(0, 9), 3], // takes back a part of it
    [...first, ...answer!], // nothing new but the last token
    [1, 2, 3], // has nothing in common
  ];
  for (const prompt of turns) expect((await generator.generate([prompt], options))[0], prompt.join()).toEqual(await fresh(prompt));
  await generator.close();
});

it("stops at a stop token, at the wish of the listener, and when it is interrupted", async () => {
  const model = await openModel(join(goldenFolder(), "models", "llama_gqa"));
  const generator = await openGenerator(engine, model);
  const prompt = [5, 90, 17];
  const [all] = await generator.generate([prompt], options);
  const stop = all![4]!;
  expect((await generator.generate([prompt], { ...options, stopTokens: [stop] }))[0]).toEqual(all!.slice(0, all!.indexOf(stop)));
  let heard = 0;
  expect((await generator.generate([prompt], { ...options, onToken: () => ++heard < 3 }))[0]).toEqual(all!.slice(0, 3));
  const aborted = AbortSignal.abort();
  expect((await generator.generate([prompt], { ...options, signal: aborted }))[0]).toEqual([]);
  await generator.close();
});

/** What the demonstration tunes when the user names nothing: pebble, the model in this package, on questions about stories. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { listFolder } from "../io/folder.ts";
import type { TuneOptions } from "../train/tune-options.ts";

const fromPackage = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** The base model that comes with the package. */
export const PEBBLE: string = fromPackage("models/pebble");

/** Questions about a sentence or two of a story; those that are held out are about stories that pebble has never read. */
const QUESTIONS: Partial<TuneOptions> = {
  data: fromPackage("datasets/fairytale-qa/train.jsonl"),
  validation: fromPackage("datasets/fairytale-qa/validation.jsonl"),
};

/** How pebble is tuned on them: small models bear high rates. */
const PEBBLE_RUN: Partial<TuneOptions> = {
  method: "lora",
  rank: 16,
  loraAlpha: 32,
  learningRate: 2e-3,
  batchSize: 16,
  epochs: 4,
  maxLength: 256,
  warmupSteps: 20,
  evalSteps: 86,
  sampleTokens: 24,
};

/** The first of `demo-1`, `demo-2`, … that is not there yet. */
export async function freeRunFolder(parent: string): Promise<string> {
  const taken = new Set(await listFolder(parent));
  let number = 1;
  while (taken.has(`demo-${number}`)) number++;
  return join(parent, `demo-${number}`);
}

/** The given options, with pebble and the questions where no model and no data are named. */
export function demoInputs(given: Partial<TuneOptions>): Partial<TuneOptions> {
  if (given.resume === true) return given;
  const data = given.data === undefined ? QUESTIONS : {};
  const model = given.model === undefined ? { model: PEBBLE, ...(given.data === undefined ? PEBBLE_RUN : {}) } : {};
  return { ...model, ...data, ...given };
}

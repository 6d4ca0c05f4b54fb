/** What an adapter remembers of the base it was trained on, and the check that a base is that one. */
import { join } from "node:path";
import { GiantError } from "../base/errors.ts";
import { fingerprintText, fingerprintWeights } from "../io/fingerprint.ts";
import { readJsonObjectIfPresent } from "../io/json-file.ts";
import type { OpenModel } from "./open-model.ts";

/** The file beside PEFT's own that PEFT ignores. */
export const FINGERPRINTS_FILE = "mini_giants.json";

export interface Fingerprints {
  readonly weights: string;
  readonly tokenizer: string | null;
  readonly chatTemplate: string | null;
}

/** Fingerprints of a base as it lies in its folder; a base that was quantised here speaks for the one it was made of. */
export async function fingerprintsOf(model: OpenModel): Promise<Fingerprints> {
  const card = await readJsonObjectIfPresent(join(model.folder, FINGERPRINTS_FILE));
  if (card?.["own"] !== undefined && card["own"] === (await fingerprintWeights(model.files.checkpoint))) return card["base"] as unknown as Fingerprints;
  const { tokenizer, tokenizerConfig, chatTemplate } = model.files;
  const template = chatTemplate ?? tokenizerConfig?.["chat_template"];
  return {
    weights: await fingerprintWeights(model.files.checkpoint),
    tokenizer: tokenizer === undefined ? null : fingerprintText(JSON.stringify(tokenizer)),
    chatTemplate: template === undefined ? null : fingerprintText(typeof template === "string" ? template : JSON.stringify(template)),
  };
}

const PARTS = [
  ["weights", "weights"],
  ["tokenizer", "tokenizer"],
  ["chatTemplate", "chat template"],
] as const;

/**
 * Refuses a base other than the one an adapter folder was made for; an adapter of another tool carries no fingerprints.
 * @throws GiantError("adapter") naming what differs.
 */
export async function checkFingerprints(adapterFolder: string, model: OpenModel): Promise<void> {
  const file = join(adapterFolder, FINGERPRINTS_FILE);
  const recorded = (await readJsonObjectIfPresent(file))?.["base"];
  if (recorded === undefined) return;
  if (typeof recorded !== "object" || recorded === null) throw new GiantError("format", `${file}: base must be an object`);
  const actual = await fingerprintsOf(model);
  const different = PARTS.filter(([field]) => (recorded as Record<string, unknown>)[field] !== actual[field]).map(([, name]) => name);
  if (different.length === 0) return;
  throw new GiantError("adapter", `${adapterFolder} was trained on another base than ${model.folder}: the ${different.join(" and the ")} differ`, {
    hint: "Name the model folder the adapter was trained on.",
    facts: { recorded, actual, different },
  });
}

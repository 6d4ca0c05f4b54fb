/** How adapters are named on a command line: `DIR`, or `DIR=WEIGHT`. */
import { GiantError } from "../base/errors.ts";

export interface AdapterChoice {
  readonly folder: string;
  /** Factor of the adapter in the sum; 0 where it is loaded and takes no part. */
  readonly weight: number;
}

/**
 * Reads `DIR` (weight 1) or `DIR=WEIGHT`. What stands behind the last `=` is the weight, unless it has a slash: a folder whose
 * name has an `=` is written with a slash behind it.
 * @param where how the user wrote it, for messages.
 * @throws GiantError("usage") where no folder or no number is found.
 */
export function readAdapterChoice(text: string, where: string = "--adapter"): AdapterChoice {
  const at = text.lastIndexOf("=");
  if (at < 0 || /[/\\]/.test(text.slice(at))) return { folder: text, weight: 1 };
  const [folder, written] = [text.slice(0, at), text.slice(at + 1)];
  const weight = written.trim() === "" ? NaN : Number(written);
  if (folder !== "" && Number.isFinite(weight)) return { folder, weight };
  const problem = folder === "" ? "no folder stands before the =" : `${JSON.stringify(written)} is no number, needed a weight`;
  throw new GiantError("usage", `${where} ${text}: ${problem}`, {
    hint: "Write DIR or DIR=WEIGHT; a folder whose name has an = takes a slash at its end.",
    facts: { where, text },
  });
}

/** Several at once, each folder once. */
export function readAdapterChoices(texts: readonly string[], where?: string): AdapterChoice[] {
  const choices = texts.map((text) => readAdapterChoice(text, where));
  const twice = choices.find(({ folder }, i) => choices.findIndex((other) => other.folder === folder) < i);
  if (twice === undefined) return choices;
  throw new GiantError("usage", `${where ?? "--adapter"} ${twice.folder}: the adapter is named twice`, { hint: "Name it once, with the sum of its weights." });
}

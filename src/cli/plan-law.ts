/** The law that `--law` names: a published one, or the one of a fit. */
import { GiantError } from "../base/errors.ts";
import { parseJson, readText } from "../io/json-file.ts";
import { PUBLISHED_LAWS, publishedLaw, type LawConstants, type ScalingLaw } from "../plan/scaling-law.ts";

/** @throws GiantError where there is neither such a law nor such a file, or the file is no fit. */
export async function findLaw(name: string): Promise<ScalingLaw> {
  if (PUBLISHED_LAWS.some(({ id }) => id === name) || !/[./\\]/.test(name)) return publishedLaw(name);
  const found = (parseJson(await readText(name), name) as { readonly constants?: Readonly<Record<string, unknown>> } | null)?.constants;
  const number = (key: keyof LawConstants): number => {
    const value = found?.[key];
    if (typeof value === "number" && (value > 0 || (value === 0 && key === "E"))) return value;
    throw new GiantError("format", `${name}: constants.${key} is not a positive number`, { hint: "--law takes the plan.json that plan fit --output wrote." });
  };
  return {
    id: "fitted",
    name: "your own fit",
    source: name,
    E: number("E"),
    A: number("A"),
    B: number("B"),
    alpha: number("alpha"),
    beta: number("beta"),
  };
}

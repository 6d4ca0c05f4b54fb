/** Where the golden cases lie, and how tests discover and read them. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GiantError } from "../src/base/errors.ts";
import { describeModel } from "../src/models/registry.ts";

/** The folder of golden cases: `MINI_GIANTS_GOLDEN`, or `test/golden`. */
export function goldenFolder(): string {
  return process.env["MINI_GIANTS_GOLDEN"] ?? fileURLToPath(new URL("./golden", import.meta.url));
}

/** The cases (sub-folders) of one kind, by name, sorted; none when the kind is absent from the chosen folder. */
export function goldenCases(kind: string): { readonly name: string; readonly folder: string }[] {
  const folder = join(goldenFolder(), kind);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => ({ name: entry.name, folder: join(folder, entry.name) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Parses a JSON file of a golden case. */
export function readJson<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(...path), "utf8")) as T;
}

/** Why a model folder of a golden case cannot be checked yet; undefined when it can. */
export function notCovered(folder: string): string | undefined {
  const file = join(folder, "config.json");
  if (!existsSync(file)) return `base ${folder} is not in the golden folder`;
  try {
    describeModel(readJson<Record<string, unknown>>(file), "config.json");
    return undefined;
  } catch (error) {
    if (error instanceof GiantError && error.code === "model") return error.message;
    throw error;
  }
}

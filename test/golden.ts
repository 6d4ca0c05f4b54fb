/** Where the golden cases lie, and how tests discover and read them. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

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

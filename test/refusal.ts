/** Runs the built program in a folder, and expects it to refuse: one clear error, the right exit code, nothing left behind. */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

export const MAIN: string = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export function cli(
  scratch: string,
  args: readonly string[],
  { env = {}, node = [] }: { readonly env?: Readonly<Record<string, string>>; readonly node?: readonly string[] } = {},
): Promise<Finished> {
  const child = spawn(process.execPath, [...node, MAIN, ...args], { cwd: scratch, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  return new Promise((resolve, reject) => {
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
  });
}

/** A command line of pairs, in which a later pair takes the place of an earlier one of the same name. */
export function withDefaults(verb: string, usual: Readonly<Record<string, string>>, more: readonly string[]): string[] {
  const options: Record<string, string | undefined> = { ...usual };
  for (let i = 0; i < more.length; i += 2) options[more[i]!] = more[i + 1];
  return [verb, ...Object.entries(options).flatMap(([flag, value]) => (value === undefined ? [flag] : [flag, value]))];
}
/** Everything in a folder, by path. */
export const listing = (folder: string): string[] => readdirSync(folder, { recursive: true, encoding: "utf8" }).toSorted();

/** One error line and at most one hint; nothing on standard output, or what `out` allows; the folder as it was. */
export async function expectRefusal(
  scratch: string,
  args: readonly string[],
  message: RegExp,
  {
    code = 1,
    out = /^$/,
    ...how
  }: { readonly code?: number; readonly out?: RegExp; readonly env?: Readonly<Record<string, string>>; readonly node?: readonly string[] } = {},
): Promise<void> {
  const before = listing(scratch);
  const found = await cli(scratch, args, how);
  expect(found.code, found.err).toBe(code);
  expect(found.out).toMatch(out);
  expect(found.err).toMatch(/^error: [^\n]+\n(hint: [^\n]+\n)?$/);
  expect(found.err).toMatch(message);
  expect(listing(scratch)).toEqual(before);
}

/** Runs a training step's benchmark in a process of its own, ours or the peer's, and writes tables into bench/RESULTS.md. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { promisify } from "node:util";

/** What either program prints as its last line. */
export interface Measurement {
  readonly versions?: Readonly<Record<string, string>>;
  readonly secondsPerStep: number;
  readonly fastestStep: number;
  readonly peakRssBytes: number;
  readonly losses: readonly number[];
}

const run = promisify(execFile);

/** Runs a program with `--name value` options and reads its last line. */
export async function measure(
  program: string,
  script: string,
  options: Readonly<Record<string, string | number>>,
  flags: readonly string[] = [],
): Promise<Measurement> {
  const named = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { stdout } = await run(program, [script, ...named, ...flags], { maxBuffer: 1 << 24 });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Measurement;
}

/** The machine in words, and the peer's versions. */
export function machineLine(threads: string, versions: Readonly<Record<string, string>> | undefined): string {
  const peer =
    versions === undefined
      ? "peer absent"
      : Object.entries(versions)
          .map(([name, version]) => `${name} ${version}`)
          .join(", ");
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  return `${cpus()[0]?.model.trim() ?? "unknown processor"}, ${cpus().length} cores, ${memory} GiB; ${threads} threads; Node ${process.versions.node}; ${peer}.`;
}

/** Replaces what stands between the marks of `name`; the prose around it is written by hand. */
export async function replaceSection(path: string, name: string, lines: readonly string[]): Promise<void> {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const text = await readFile(path, "utf8");
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${path} has no ${begin} … ${end}`);
  await writeFile(path, `${text.slice(0, from)}${begin}\n${lines.join("\n")}\n${text.slice(to)}`);
}

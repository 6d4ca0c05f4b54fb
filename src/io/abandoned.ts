/** Temporary files and folders: their names, their removal when the process ends, and what a killed process left behind. */
import { rmSync } from "node:fs";
import { readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

const live = new Set<string>();
let counter = 0;

/** Signals that end the process by default; while something temporary exists we clean up first. */
const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** A path beside `path` that nobody else uses, removed if the process ends before `settle`. */
export function temporaryBeside(path: string, kind: "partial" | "replaced"): string {
  const temporary = `${path}.${kind}-${process.pid}-${counter++}`;
  if (kind === "partial") {
    if (live.size === 0) watch();
    live.add(temporary);
  }
  return temporary;
}

/** The temporary path was renamed or removed: nothing is left to clean up. */
export function settle(temporary: string): void {
  if (live.delete(temporary) && live.size === 0) unwatch();
}

function removeLive(): void {
  for (const path of live) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // The process is ending: what cannot be removed now is removed by the next write to the same place.
    }
  }
}

function onSignal(signal: NodeJS.Signals): void {
  // Somebody else listens too and may go on: then the exit handler cleans up, if it comes to that.
  if (process.listenerCount(signal) > 1) return;
  removeLive();
  unwatch();
  process.kill(process.pid, signal);
}

function watch(): void {
  process.on("exit", removeLive);
  for (const signal of SIGNALS) process.on(signal, onSignal);
}

function unwatch(): void {
  process.off("exit", removeLive);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}

/**
 * Clears away what processes killed in the middle of replacing `path` left beside it.
 * If such a process had moved the old content aside and not yet put the new one in place, the old content comes back.
 */
export async function recoverAbandoned(path: string): Promise<void> {
  const name = basename(path);
  const siblings = await readdir(dirname(path)).catch(() => []);
  for (const sibling of siblings) {
    if (!sibling.startsWith(`${name}.`)) continue;
    const match = /^\.(partial|replaced)-(\d+)-\d+$/.exec(sibling.slice(name.length));
    if (match === null || isAlive(Number(match[2]))) continue;
    const left = join(dirname(path), sibling);
    const exists = await stat(path).then(
      () => true,
      () => false,
    );
    if (match[1] === "replaced" && !exists) await rename(left, path);
    else await rm(left, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

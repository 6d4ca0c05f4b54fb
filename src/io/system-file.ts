/** Reads and writes what the operating system shows as files (/proc, /sys, /dev): absent ones are no error. */
import { existsSync, readFileSync, statfsSync, writeFileSync } from "node:fs";

/** The text of a system file, or undefined where it is absent or unreadable. */
export function readSystemText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** Writes to a control file of the system; false where that is not possible. */
export function writeSystemText(path: string, text: string): boolean {
  try {
    writeFileSync(path, text);
    return true;
  } catch {
    return false;
  }
}

/** Whether something lies at `path`. */
export function isPresent(path: string): boolean {
  return existsSync(path);
}

/** Bytes a normal user can still write in the file system of `folder`; undefined where it cannot be asked. */
export function freeDiskBytes(folder: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}

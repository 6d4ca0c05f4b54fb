/** Turns what the operating system says about a file into one line with what to do about it. */
import { GiantError } from "../base/errors.ts";

const REASONS: Readonly<Record<string, readonly [found: string, hint: string]>> = {
  ENOENT: ["it does not exist", "Check the path."],
  ENOSPC: ["the disk is full", "Free some space or choose a folder on another disk."],
  EDQUOT: ["the disk quota is used up", "Free some space or choose a folder on another disk."],
  EACCES: ["permission denied", "Change the permissions or choose another folder."],
  EPERM: ["the operation is not permitted", "Change the permissions or choose another folder."],
  EROFS: ["the file system is read-only", "Choose a folder on a disk that can be written."],
  ENOTDIR: ["a part of the path is a file, not a folder", "Check the path."],
  EISDIR: ["it is a folder, not a file", "Name a file."],
  EMFILE: ["too many files are open", "Raise the limit of open files (ulimit -n)."],
  ENFILE: ["too many files are open", "Close other programs or raise the system's limit of open files."],
  ELOOP: ["symbolic links go round in a circle", "Repair the links."],
  ENAMETOOLONG: ["the name is too long", "Choose a shorter name."],
  EIO: ["the disk reported an error", "Check the disk."],
};

/**
 * The GiantError("file") for a failed file operation; a GiantError passes through unchanged.
 * @param action what was tried, as a verb: `read`, `write`, `create`.
 */
export function fileError(error: unknown, path: string, action: string): GiantError {
  if (error instanceof GiantError) return error;
  const code = errorCode(error);
  const [found, hint] = REASONS[code ?? ""] ?? [code ?? oneLine(error instanceof Error ? error.message : String(error)), "Check the path and the disk."];
  return new GiantError("file", `${path}: cannot ${action}: ${found}`, { hint, facts: { path, code }, cause: error });
}

/** The operating system's code of an error (`ENOENT`, …), if it has one. */
export function errorCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** A text on one line: runs of white space become one space. */
export function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

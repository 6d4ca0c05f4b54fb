/** Looking into folders and reading small files, with errors that say what was found. */
import { appendFile, readdir, readFile, rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { recoverAbandoned } from "./abandoned.ts";
import { errorCode, fileError } from "./file-error.ts";
import { makeFolder } from "./make-folder.ts";

/** What lies at a path, or undefined when nothing does. */
export async function kindOf(path: string): Promise<"file" | "folder" | undefined> {
  try {
    return (await stat(path)).isDirectory() ? "folder" : "file";
  } catch (error) {
    if (errorCode(error) === "ENOENT" || errorCode(error) === "ENOTDIR") return undefined;
    throw fileError(error, path, "read");
  }
}

/** Names in a folder, sorted; none when there is no such folder. What a killed process left half-replaced is repaired first. */
export async function listFolder(path: string): Promise<string[]> {
  try {
    const before = await readdir(path);
    const halves = new Set(before.flatMap((name) => /^(.+)\.(?:partial|replaced)-\d+-\d+$/.exec(name)?.[1] ?? []));
    for (const name of halves) await recoverAbandoned(resolve(path, name));
    return (halves.size > 0 ? await readdir(path) : before).toSorted();
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw fileError(error, path, "read");
  }
}

/** The text of a file; GiantError("file") when it cannot be read. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw fileError(error, path, "read");
  }
}

/** Size of a file. */
export async function fileBytes(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    throw fileError(error, path, "read");
  }
}

/** Removes a folder with all that is in it; nothing happens when it is absent. */
export async function removeFolder(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    throw fileError(error, path, "remove");
  }
}

/** Adds bytes at the end of a file, creating it and its folder when absent. */
export async function appendBytes(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await makeFolder(dirname(resolve(path)));
    await appendFile(path, bytes);
  } catch (error) {
    throw fileError(error, path, "write");
  }
}

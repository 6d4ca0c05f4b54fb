/** Writes files and folders so that a reader sees the old content or the new one, never half of it. */
import { copyFile, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { recoverAbandoned, settle, temporaryBeside } from "./abandoned.ts";
import { errorCode, fileError } from "./file-error.ts";
import { makeFolder } from "./make-folder.ts";

/** Writes a whole file: beside first, synced to the disk, then renamed over the old one. Creates missing parent folders. */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  await createFileAtomic(path, (file) => file.writeFile(data));
}

/** Lets `write` fill a new file and puts it in the place of `path` when it is complete; on an error nothing changes. */
export async function createFileAtomic(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const target = resolve(path);
  const temporary = temporaryBeside(target, "partial");
  try {
    await makeFolder(dirname(target));
    await recoverAbandoned(target);
    const file = await open(temporary, "w");
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
    await syncFolder(dirname(target));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(error, path, "write");
  } finally {
    settle(temporary);
  }
}

/**
 * Lets `fill` write into a new folder and puts it in the place of `path` when it is complete; on an error nothing changes.
 * An existing folder is moved aside first: a crash between the two renames is repaired by `recoverAbandoned`.
 */
export async function replaceFolderAtomic(path: string, fill: (temporaryFolder: string) => Promise<void>): Promise<void> {
  const target = resolve(path);
  const temporary = temporaryBeside(target, "partial");
  try {
    await makeFolder(dirname(target));
    await recoverAbandoned(target);
    await mkdir(temporary);
    await fill(temporary);
    await syncTree(temporary);
    await swapFolder(temporary, target);
    await syncFolder(dirname(target));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw fileError(error, path, "write");
  } finally {
    settle(temporary);
  }
}

async function swapFolder(temporary: string, target: string): Promise<void> {
  const old = temporaryBeside(target, "replaced");
  let moved = true;
  await rename(target, old).catch((error: unknown) => {
    if (errorCode(error) !== "ENOENT") throw error;
    moved = false;
  });
  try {
    await rename(temporary, target);
  } catch (error) {
    if (moved) await rename(old, target);
    throw error;
  }
  if (moved) await rm(old, { recursive: true, force: true });
}

async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else if (entry.isFile()) await syncFile(path);
  }
  await syncFolder(folder);
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes a rename last. Windows cannot open folders and needs no sync of them. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } catch (error) {
    // Some network and FUSE file systems refuse to sync a folder; the rename itself has succeeded.
    if (!["EINVAL", "ENOTSUP", "EBADF"].includes(errorCode(error) ?? "")) throw error;
  } finally {
    await folder.close();
  }
}

/** A file that grows by whole lines. */
export interface LineAppender {
  /** Adds one line (without its newline); lines keep the order of the calls. */
  append(line: string): Promise<void>;
  /** Forces what was appended onto the disk. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a file for appending lines; a last line that a killed process left without its newline is cut off first. */
export async function openLineAppender(path: string): Promise<LineAppender> {
  let file: FileHandle;
  try {
    await makeFolder(dirname(resolve(path)));
    file = await open(path, "a+");
  } catch (error) {
    throw fileError(error, path, "write");
  }
  try {
    await cutUnfinishedLine(file, path);
  } catch (error) {
    await file.close();
    throw fileError(error, path, "write");
  }
  let last: Promise<void> = Promise.resolve();
  const enqueue = (work: () => Promise<unknown>): Promise<void> => {
    const mine = last.then(work).then(
      () => undefined,
      (error: unknown) => {
        throw fileError(error, path, "write");
      },
    );
    last = mine.catch(() => undefined); // One failed line does not stop the next; its caller hears of it.
    return mine;
  };
  return {
    append: (line) => enqueue(() => file.appendFile(`${line}\n`)),
    flush: () => enqueue(() => file.sync()),
    close: () => enqueue(() => file.close()),
  };
}

async function cutUnfinishedLine(file: FileHandle, path: string): Promise<void> {
  if (!(await stat(path)).isFile()) return;
  const { size } = await file.stat();
  const block = Buffer.alloc(65536);
  let end = size;
  while (end > 0) {
    const start = Math.max(0, end - block.length);
    const { bytesRead } = await file.read(block, 0, end - start, start);
    const newline = block.subarray(0, bytesRead).lastIndexOf(10);
    if (newline >= 0) {
      end = start + newline + 1;
      break;
    }
    end = start;
  }
  if (end < size) await file.truncate(end);
}

/** Copies a file when it is there; used while filling a temporary folder. */
export async function copyIfPresent(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw fileError(error, from, "copy");
  }
}

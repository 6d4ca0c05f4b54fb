/** Makes a folder with all that lies above it. */
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { errorCode } from "./file-error.ts";

/**
 * Makes the folder and the missing ones above it; one that is there already is fine.
 * Node's own recursive mkdir tries for ever where an existing folder takes no new one and says ENOENT, as /proc does.
 */
export async function makeFolder(path: string): Promise<void> {
  if (await made(path, "ENOENT")) return;
  // Something above is missing, or was when we asked: another caller may have made it meanwhile. The second refusal counts.
  const parent = dirname(path);
  if (parent !== path) await makeFolder(parent);
  await made(path);
}

/** Whether the folder is there now; false when it cannot be made for the reason that is `tolerated`. */
async function made(path: string, tolerated?: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST" && (await isFolder(path))) return true;
    if (errorCode(error) === tolerated) return false;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

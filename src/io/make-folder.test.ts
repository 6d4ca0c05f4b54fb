import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { writeFileAtomic } from "./atomic.ts";
import { makeFolder } from "./make-folder.ts";

test("makes what is missing, once and again, and side by side", async () => {
  const top = temporaryFolder();
  // Callers that make the same parents at the same time come in each other's way in some of the rounds.
  for (let round = 0; round < 200; round++) {
    const folder = join(top, String(round), "b", "c");
    await Promise.all([makeFolder(folder), makeFolder(join(folder, "d")), makeFolder(folder), makeFolder(join(top, String(round), "b", "e"))]);
    await makeFolder(folder);
    expect(existsSync(join(folder, "d"))).toBe(true);
  }
});

test("says at once when it cannot", async () => {
  const file = join(temporaryFolder(), "file");
  writeFileSync(file, "");
  await expect(makeFolder(file)).rejects.toThrow("EEXIST");
  await expect(makeFolder(join(file, "below"))).rejects.toThrow("ENOTDIR");
});

test.runIf(process.platform === "linux")("says at once when a folder takes no new one", async () => {
  await expect(makeFolder("/proc/mini-giants/run")).rejects.toThrow("ENOENT");
  await expect(writeFileAtomic("/proc/mini-giants/run/file", "")).rejects.toThrow("/proc/mini-giants/run/file: cannot write");
});

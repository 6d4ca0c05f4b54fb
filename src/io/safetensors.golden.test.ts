/** Files written by the reference implementation: read, and written again to the same bytes. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { goldenFolder } from "../../test/golden.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { readSafetensorsHeader, readTensorBytes } from "./safetensors.ts";
import { writeSafetensors } from "./safetensors-writer.ts";

function filesUnder(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".safetensors"))
    .sort();
}

describe("safetensors files of the reference implementation", () => {
  const names = filesUnder(goldenFolder());
  if (names.length === 0) test("there are some", (ctx) => ctx.skip(`not covered: safetensors: ${goldenFolder()} holds no such file`));
  for (const name of names) {
    test(name, async () => {
      const path = join(goldenFolder(), name);
      const copy = join(temporaryFolder(), "copy.safetensors");
      const { entries, metadata } = await readSafetensorsHeader(path);
      expect(entries.size).toBeGreaterThan(0);
      await writeSafetensors(
        copy,
        [...entries.values()].map((entry) => ({ ...entry, data: () => readTensorBytes(entry) })),
        Object.keys(metadata).length > 0 ? metadata : undefined,
      );
      expect(Buffer.compare(readFileSync(copy), readFileSync(path))).toBe(0);
    });
  }
});

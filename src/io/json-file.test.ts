import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { readText } from "./json-file.ts";

function written(content: string | Uint8Array): string {
  const path = join(temporaryFolder(), "x.txt");
  writeFileSync(path, content);
  return path;
}

test.each([
  ["at the start", [0xff, 0x61], 1, 0, "0xff"],
  ["in the third line", [...Buffer.from("a\r\n\u00e9\n\u20ac"), 0xe9, 0x74], 3, 9, "0xe9"],
  ["behind U+FFFD and a byte order mark", [...Buffer.from("\ufeff\ufffd\n\ufffda\ufffd"), 0x80], 2, 14, "0x80"],
  ["a character cut short at the end", [...Buffer.from("a\n"), 0xe2, 0x82], 2, 2, "0xe2"],
  ["a character cut short by a line end", [0xe2, 0x82, 10, 0x61], 1, 0, "0xe2"],
  ["half a surrogate pair", [0x61, 0xed, 0xa0, 0x80], 1, 1, "0xed"],
])("bytes that are not UTF-8 are named by line and offset: %s", async (_, bytes, line, offset, shown) => {
  const path = written(Uint8Array.from(bytes));
  await expect(readText(path)).rejects.toMatchObject({
    code: "format",
    message: `${path}:${line}: byte ${offset} (${shown}) is not valid UTF-8`,
    facts: { line, offset },
  });
});

test("any text comes back, and one bad byte in it is found", async () => {
  const path = written("");
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: fc.oneof(fc.string({ unit: "binary", maxLength: 1 }), fc.constantFrom("\n", "\ufffd")) }),
      fc.string({ unit: "binary" }),
      async (before, after) => {
        const bytes = Buffer.from(before);
        writeFileSync(path, `x${before}${after}`);
        expect(await readText(path)).toBe(`x${before}${after}`);
        writeFileSync(path, Buffer.concat([bytes, Uint8Array.of(0xff), Buffer.from(after)]));
        await expect(readText(path)).rejects.toMatchObject({ facts: { offset: bytes.length, line: before.split("\n").length } });
      },
    ),
    { numRuns: 50 },
  );
});

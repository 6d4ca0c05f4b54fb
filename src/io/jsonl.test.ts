import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GiantError } from "../base/errors.ts";
import { Problems } from "../data/problems.ts";
import { columnOf, lineOf, scanJson } from "./json-scan.ts";
import { readJsonArray, readJsonl } from "./jsonl.ts";
import type { NumberedValue } from "./jsonl.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";

async function all(path: string, problems?: Problems): Promise<NumberedValue[]> {
  const values: NumberedValue[] = [];
  for await (const value of path.endsWith(".json") ? readJsonArray(path) : readJsonl(path, problems)) values.push(value);
  return values;
}

function written(content: string | Uint8Array, name: string = "x.jsonl"): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, content);
  return path;
}

async function errorOf(path: string): Promise<GiantError> {
  const error = await all(path).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(GiantError);
  return error as GiantError;
}

describe("JSON Lines", () => {
  test("byte order mark, CRLF, blank lines and a last line without its newline", async () => {
    expect(await all(written('\ufeff{"a":1}\r\n\r\n  \n[2]\n"é"'))).toEqual([
      { line: 1, value: { a: 1 } },
      { line: 4, value: [2] },
      { line: 5, value: "é" },
    ]);
    expect(await all(written(""))).toEqual([]);
  });

  test("lines longer than one block of the stream", async () => {
    const long = "é".repeat(3_000_000);
    expect(await all(written(`${JSON.stringify(long)}\n1\n`))).toEqual([
      { line: 1, value: long },
      { line: 2, value: 1 },
    ]);
  });

  test("one broken line is one line of message", async () => {
    const path = written('{"a":1}\n{"a":,}\n');
    const error = await errorOf(path);
    expect(error.code).toBe("data");
    expect(error.message).toBe(`${path}:2: not valid JSON: at column 6, a value was expected, found ","`);
  });

  test("many broken lines: 20 by number, all counted, good lines delivered", async () => {
    const path = written(Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? "{}" : "{")).join("\n"));
    const error = await errorOf(path);
    const lines = error.message.split("\n");
    expect(lines[0]).toBe(`${path}: 30 problems, the first 20:`);
    expect(lines).toHaveLength(21);
    expect(lines[1]).toBe(`  ${path}:2: not valid JSON: at column 2, the text ends where a key in quotes or "}" was expected`);
    const problems = new Problems(path);
    expect(await all(path, problems)).toHaveLength(30);
    expect(problems.count).toBe(30);
  });

  test("bytes that are not UTF-8 are named by line", async () => {
    const path = written(Uint8Array.from([0x31, 0x0a, 0x22, 0xff, 0x22, 0x0a]));
    expect((await errorOf(path)).message).toBe(`${path}:2: the line is not valid UTF-8`);
  });

  test("a file that is not there", async () => {
    expect((await errorOf("/nowhere/x.jsonl")).message).toBe("/nowhere/x.jsonl: cannot read: it does not exist");
  });

  test("fuzzing: values that were written come back, whatever the line ends", async () => {
    const path = written("");
    await fc.assert(
      fc.asyncProperty(fc.array(fc.jsonValue()), fc.constantFrom("\n", "\r\n"), fc.boolean(), fc.boolean(), async (values, newline, last, mark) => {
        writeFileSync(path, (mark ? "\ufeff" : "") + values.map((value) => JSON.stringify(value)).join(newline) + (last ? newline : ""));
        expect(await all(path)).toEqual(values.map((value, i) => ({ line: i + 1, value: JSON.parse(JSON.stringify(value)) as unknown })));
      }),
      { numRuns: 100 },
    );
  });

  test("fuzzing: random bytes and damaged files give values or a GiantError", async () => {
    const path = written("");
    const valid = fc.array(fc.jsonValue()).map((values) => Buffer.from(values.map((value) => JSON.stringify(value)).join("\n")));
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.uint8Array({ maxLength: 100 }), valid),
        fc.array(fc.nat(), { maxLength: 3 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (start, flips, keep) => {
          const bytes = Uint8Array.from(start.subarray(0, Math.ceil(start.length * keep)));
          for (const flip of flips) if (bytes.length > 0) bytes[Math.floor(flip / 8) % bytes.length]! ^= 1 << (flip % 8);
          writeFileSync(path, bytes);
          try {
            await all(path);
          } catch (error) {
            expect(error).toBeInstanceOf(GiantError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("JSON arrays", () => {
  test("elements with the lines on which they begin", async () => {
    const path = written('[\n  {"a": [1,\n 2]},\n\n  2, 3\n]\n', "x.json");
    expect(await all(path)).toEqual([
      { line: 2, value: { a: [1, 2] } },
      { line: 5, value: 2 },
      { line: 5, value: 3 },
    ]);
  });

  test("a broken array is named by line and column", async () => {
    const path = written('[\n  {"a": 1},\n  {"b" 2}\n]', "x.json");
    expect((await errorOf(path)).message).toBe(`${path}:3: column 8: ":" was expected, found "2"`);
    expect((await errorOf(written("{}", "x.json"))).message).toMatch(/an array of records was needed/);
    expect((await errorOf(written("[1,\n2", "x.json"))).message).toMatch(/x\.json:2: column 2: the text ends where "," or "\]" was expected/);
  });
});

describe("the scanner", () => {
  test("agrees with JSON.parse on what is JSON", () => {
    const character = fc.constantFrom(...Array.from('{}[]:,"\\ntrufalsen0123456789-+.eE \n\tu\u0000é'));
    const damaged = fc
      .tuple(fc.json(), fc.nat(), character)
      .map(([text, at, c]) => text.slice(0, at % (text.length + 1)) + c + text.slice((at % (text.length + 1)) + 1));
    fc.assert(
      fc.property(fc.oneof(fc.json(), damaged, fc.string({ unit: character })), (text) => {
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        expect(scanJson(text).problem === undefined).toBe(valid);
      }),
      { numRuns: 3000 },
    );
  });

  test("finds elements and repeated keys of the outermost value only", () => {
    expect(scanJson('[1, [2, 3], {"a": 4}]').elementOffsets).toEqual([1, 4, 12]);
    expect(scanJson("[]").elementOffsets).toEqual([]);
    expect(scanJson('{"a": {"b": 1, "b": 2}, "c": 1, "a": 2}').repeatedKeys).toEqual(["a"]);
    expect([lineOf("a\nb\nc", 4), columnOf("a\nb\nc", 4), lineOf("ab", 1), columnOf("ab", 1)]).toEqual([3, 1, 1, 2]);
  });

  test("depth does not matter", () => {
    expect(scanJson("[".repeat(200_000) + "]".repeat(200_000)).problem).toBeUndefined();
  });
});

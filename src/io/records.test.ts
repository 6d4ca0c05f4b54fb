import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { GiantError } from "../base/errors.ts";
import { loadRecords } from "./records.ts";

const sample = (name: string): string => fileURLToPath(new URL(`../../test/data/${name}`, import.meta.url));

function written(name: string, content: string): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, content);
  return path;
}

describe("data files", () => {
  test.each([
    ["alpaca.json", "alpaca", 30],
    ["prompt-completion.jsonl", "prompt-completion", 12],
    ["fairytale-messages.jsonl", "messages", 12],
  ])("%s", async (name, format, count) => {
    const loaded = await loadRecords(sample(name));
    expect([loaded.format, loaded.records.length]).toEqual([format, count]);
    for (const record of loaded.records) expect(record.source).toBe(sample(name));
  });

  test("lines are those of the file, in .json too", async () => {
    expect((await loadRecords(sample("alpaca.json"))).records.slice(0, 2).map((record) => record.line)).toEqual([2, 7]);
    expect((await loadRecords(written("x.json", '{"text":"a"}\n{"text":"b"}\n'))).records.map((record) => record.line)).toEqual([1, 2]);
    expect((await loadRecords(written("x.txt", "a\n<|endoftext|>\r\nb"))).records.map((record) => record.line)).toEqual([1, 3]);
  });

  test("every kind of problem is collected, in the order of lines", async () => {
    const good = '{"prompt":"a","completion":"b"}';
    const path = written("x.jsonl", [good, "{", '{"prompt":"a","completion":3}', good, '{"prompt":"a","completion":""}'].join("\n"));
    const error = (await loadRecords(path).catch((e: unknown) => e)) as GiantError;
    expect(error.code).toBe("data");
    expect(error.message.split("\n")).toEqual([
      `${path}: 3 problems:`,
      `  ${path}:2: not valid JSON: at column 2, the text ends where a key in quotes or "}" was expected`,
      `  ${path}:3: completion is 3, but a text was needed`,
      `  ${path}:5: completion is empty`,
    ]);
  });

  test.each([
    ["x.jsonl", "", /it holds no records/],
    ["x.jsonl", "\n\n", /it holds no records/],
    ["x.json", "[]", /it holds no records/],
    ["x.txt", " \n", /it holds no records/],
    ["x.jsonl", "{\n", /x\.jsonl:1: not valid JSON/],
    ["x.csv", "a,b", /the kind of file cannot be told/],
    ["x.jsonl", '{"question":"a","answer":"b"}', /no known format has the fields "question", "answer"/],
    ["x.jsonl", '{"text":"a"}\n{"prompt":"a","completion":"b"}', /x\.jsonl:2: the record is in the format prompt-completion, but those before it are text/],
  ])("%s with %j is refused", async (name, content, message) => {
    await expect(loadRecords(written(name, content))).rejects.toThrow(message);
  });

  test("a named format is taken without looking", async () => {
    const path = written("x.jsonl", '{"instruction":"a","output":"b","text":"all of it"}');
    expect((await loadRecords(path)).format).toBe("alpaca");
    expect((await loadRecords(path, { format: "text" })).records[0]).toMatchObject({ kind: "text", text: "all of it" });
    await expect(loadRecords(path, { format: "csv" })).rejects.toMatchObject({ code: "usage" });
  });

  test("fuzzing: records of the wrong shape give a GiantError or records", async () => {
    const path = written("x.jsonl", "");
    const field = fc.oneof(fc.string(), fc.jsonValue(), fc.array(fc.record({ role: fc.constantFrom("user", "assistant", "x"), content: fc.jsonValue() })));
    const name = fc.constantFrom("messages", "instruction", "input", "output", "prompt", "completion", "text", "tools", "history");
    await fc.assert(
      fc.asyncProperty(fc.array(fc.dictionary(name, field)), async (values) => {
        writeFileSync(path, values.map((value) => JSON.stringify(value)).join("\n"));
        try {
          expect((await loadRecords(path)).records).toHaveLength(values.length);
        } catch (error) {
          expect(error).toBeInstanceOf(GiantError);
        }
      }),
      { numRuns: 200 },
    );
  });
});

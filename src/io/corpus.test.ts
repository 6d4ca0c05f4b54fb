/** A corpus of several files: its documents, what is left out, and what is refused. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { splitRecords } from "../data/split.ts";
import { loadCorpus } from "./corpus.ts";

/** Writes files of a folder of their own; returns their paths. */
function written(files: Readonly<Record<string, string | Uint8Array>>): string[] {
  const folder = temporaryFolder();
  mkdirSync(folder, { recursive: true });
  return Object.entries(files).map(([name, content]) => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  });
}

describe("a corpus", () => {
  test("takes the documents of all files in their order, with bytes", async () => {
    const paths = written({
      "a.txt": "One\r\ndocument.\n<|endoftext|>\nUn caf\u00e9 \u{1f98a}\n",
      "b.jsonl": '{"text":"a line","source":"x"}\n',
      "c.json": '["a text", "another"]',
    });
    const corpus = await loadCorpus(paths);
    expect(corpus.documents.map(({ source, line, text, bytes }) => [paths.indexOf(source), line, text, bytes])).toEqual([
      [0, 1, "One\ndocument.", 13],
      [0, 4, "Un caf\u00e9 \u{1f98a}", 13],
      [1, 1, "a line", 6],
      [2, 1, "a text", 6],
      [2, 1, "another", 7],
    ]);
    expect([corpus.bytes, corpus.duplicates]).toEqual([45, 0]);
    expect(corpus.files[0]).toEqual({ source: paths[0], documents: 2, bytes: 26, duplicates: 0 });
  });

  test("keeps a text once, whichever files it stands in, and counts the rest by file", async () => {
    const paths = written({ "a.txt": "same\n<|endoftext|>\nother\n<|endoftext|>\nsame\n", "b.json": '["same\\n", "Same", "other"]' });
    const corpus = await loadCorpus([...paths, paths[0]!]);
    expect(corpus.documents.map(({ text }) => text)).toEqual(["same", "other", "Same"]);
    expect(corpus.files.map(({ documents, duplicates }) => [documents, duplicates])).toEqual([
      [2, 1],
      [1, 2],
      [0, 3],
    ]);
    expect([corpus.duplicates, corpus.bytes]).toEqual([6, 13]);
  });

  test("a document is never divided: a split has it on one side; a file without ends of documents is split by passages", async () => {
    const story = (name: string): string => Array.from({ length: 300 }, (_, i) => `${name} goes on, paragraph ${i}.`).join("\n\n");
    const stories = ["Ann", "Ben", "Cat", "Dan", "Eve", "Fay"].map(story);
    const paths = written({ "whole.txt": stories.join("\n<|endoftext|>\n"), "running.txt": story("Gil") });
    const whole = await loadCorpus([paths[0]!]);
    expect(whole.documents.map(({ text }) => text)).toEqual(stories);
    const { train, validation } = splitRecords(whole.documents, 0.3, 1);
    expect(validation.length).toBeGreaterThan(0);
    expect(train.length + validation.length).toBe(6);

    const running = await loadCorpus([paths[1]!]);
    expect(running.documents.map(({ text }) => text).join("")).toBe(story("Gil"));
    expect(running.documents.map(({ goesOn }) => goesOn ?? false)).toEqual(running.documents.map((_, i) => i + 1 < running.documents.length));
    expect(splitRecords(running.documents, 0.3, 1).validation.length).toBeGreaterThan(0);
  });

  test.each<[string, string | Uint8Array, string, RegExp]>([
    ["a.txt", "", "data", /a\.txt: it holds no records/],
    ["a.json", "[]", "data", /a\.json: it holds no records/],
    ["a.txt", Buffer.from("caf\u00e9\nna\u00efve", "latin1"), "format", /a\.txt:1: byte 3 \(0xe9\) is not valid UTF-8/],
    ["a.jsonl", Buffer.from('{"text":"b"}\n{"text":"\u00e9"}', "latin1"), "data", /a\.jsonl:2: the line is not valid UTF-8/],
    ["a.jsonl", '{"prompt":"q","completion":"a"}', "data", /a\.jsonl: its records are in the format prompt-completion, but plain text was needed/],
    ["a.jsonl", '{"content":"q"}', "data", /no known format has the fields "content"/],
    ["a.jsonl", '{"text":"a"}\n{"text":""}\n{"text":3}', "data", /2 problems:\n.*a\.jsonl:2: text is empty\n.*a\.jsonl:3: text is 3, but a text was needed/],
    ["a.parquet", "PAR1", "data", /the kind of file cannot be told/],
  ])("%s with %j is refused", async (name, content, code, message) => {
    const [good, bad] = written({ "good.txt": "fine", [name]: content }) as [string, string];
    const failure = expect(loadCorpus([good, bad])).rejects;
    await failure.toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  test("no files, and a file that is not there", async () => {
    await expect(loadCorpus([])).rejects.toMatchObject({ code: "usage" });
    await expect(loadCorpus([join(temporaryFolder(), "none.txt")])).rejects.toMatchObject({ code: "file" });
  });
});

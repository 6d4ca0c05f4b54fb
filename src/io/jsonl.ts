/** Reads data files value by value: JSON Lines as a stream, and JSON arrays. */
import { createReadStream } from "node:fs";
import { GiantError } from "../base/errors.ts";
import { Problems } from "../data/problems.ts";
import { fileError } from "./file-error.ts";
import { parseJson, readText } from "./json-file.ts";
import { lineOf, scanJson } from "./json-scan.ts";

export interface NumberedValue {
  /** 1-based line of the file on which the value begins. */
  readonly line: number;
  readonly value: unknown;
}

export interface NumberedLine {
  readonly line: number;
  /** `undefined`: the bytes are not valid UTF-8. */
  readonly text: string | undefined;
}

/** A longer line cannot become one string in V8. */
const LONGEST_LINE_BYTES = 500 * 1024 * 1024;

/**
 * The values of a JSON Lines file, one line at a time; blank lines hold no value.
 * A line that is not JSON is put down in `problems`; without a collector of the caller's own, all of them are thrown at the
 * end as one GiantError("data").
 */
export async function* readJsonl(path: string, problems?: Problems): AsyncGenerator<NumberedValue> {
  const found = problems ?? new Problems(path);
  for await (const { line, text } of readLines(path)) {
    if (text === undefined) {
      found.add(line, "the line is not valid UTF-8");
      continue;
    }
    if (text.trim() === "") continue;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      const { problem } = scanJson(text);
      found.add(line, problem === undefined ? "not valid JSON" : `not valid JSON: at column ${problem.offset + 1}, ${problem.message}`);
      continue;
    }
    yield { line, value };
  }
  if (problems === undefined) found.throwIfAny();
}

/** The elements of a file that holds one JSON array; anything else is a GiantError("data"). */
export async function* readJsonArray(path: string): AsyncGenerator<NumberedValue> {
  const text = await readText(path);
  const values = parseJson(text, path, "data");
  if (!Array.isArray(values)) throw new GiantError("data", `${path}: an array of records was needed`, { hint: "For one record a line name the file .jsonl." });
  const { elementOffsets } = scanJson(text);
  let line = 1;
  let offset = 0;
  for (const [index, value] of values.entries()) {
    const next = elementOffsets[index]!;
    line += lineOf(text.slice(offset, next), next - offset) - 1;
    offset = next;
    yield { line, value };
  }
}

/** The lines of a file (ended by LF or CRLF, the last one possibly by nothing), without a byte order mark. */
export async function* readLines(path: string): AsyncGenerator<NumberedLine> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let line = 0;
  const finish = (parts: readonly Uint8Array[]): NumberedLine => {
    line++;
    let bytes: Uint8Array = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    if (line === 1 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) bytes = bytes.subarray(3);
    if (bytes.at(-1) === 13) bytes = bytes.subarray(0, -1);
    try {
      return { line, text: decoder.decode(bytes) };
    } catch {
      return { line, text: undefined };
    }
  };
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>) {
      let start = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
        pending.push(chunk.subarray(start, end));
        yield finish(pending);
        pending = [];
        pendingBytes = 0;
        start = end + 1;
      }
      if (start < chunk.length) {
        pending.push(chunk.subarray(start));
        pendingBytes += chunk.length - start;
      }
      if (pendingBytes > LONGEST_LINE_BYTES) throw new GiantError("data", `${path}:${line + 1}: the line is longer than ${LONGEST_LINE_BYTES} bytes`);
    }
  } catch (error) {
    throw fileError(error, path, "read");
  }
  if (pending.length > 0) yield finish(pending);
}

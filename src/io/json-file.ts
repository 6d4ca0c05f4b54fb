/** Reads whole JSON files, with errors that say line and column. */
import { isUtf8 } from "node:buffer";
import { readFile } from "node:fs/promises";
import { GiantError } from "../base/errors.ts";
import type { GiantErrorCode } from "../base/errors.ts";
import { errorCode, fileError } from "./file-error.ts";
import { columnOf, lineOf, scanJson } from "./json-scan.ts";

export type JsonObject = Record<string, unknown>;

/** The text of a UTF-8 file without its byte order mark; `undefined` when the file does not exist. */
export async function readTextIfPresent(path: string): Promise<string | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw fileError(error, path, "read");
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw notText(bytes, path, error);
  }
}

function notText(bytes: Uint8Array, path: string, cause: unknown): GiantError {
  if (isUtf8(bytes)) {
    return new GiantError("file", `${path}: cannot read: ${bytes.length} bytes are more than one text can hold`, {
      hint: "Divide it into several files.",
      facts: { path, bytes: bytes.length },
      cause,
    });
  }
  const { line, offset } = firstInvalid(bytes);
  const found = `byte ${offset} (0x${bytes[offset]!.toString(16).padStart(2, "0")}) is not valid UTF-8`;
  return new GiantError("format", `${path}:${line}: ${found}`, { hint: "Save the file as UTF-8.", facts: { path, line, offset }, cause });
}

/** The 1-based line and the 0-based offset of the first byte that is not UTF-8, where there is one. */
function firstInvalid(bytes: Uint8Array): { readonly line: number; readonly offset: number } {
  let line = 1;
  let start = 0;
  const end = (): number => (bytes.indexOf(10, start) + 1 || bytes.length + 1) - 1;
  for (; isUtf8(bytes.subarray(start, end())); start = end() + 1) line++;
  // The lenient decoder writes U+FFFD for what is not valid; the file may also hold that character itself.
  const parts = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(start, end())).split("\uFFFD");
  let offset = start;
  for (const part of parts) {
    offset += Buffer.byteLength(part);
    if (!(bytes[offset] === 0xef && bytes[offset + 1] === 0xbf && bytes[offset + 2] === 0xbd)) break;
    offset += 3;
  }
  return { line, offset };
}

/** The text of a UTF-8 file without its byte order mark. */
export async function readText(path: string): Promise<string> {
  const text = await readTextIfPresent(path);
  if (text === undefined) throw new GiantError("file", `${path}: cannot read: it does not exist`, { hint: "Check the path.", facts: { path } });
  return text;
}

/** A JSON value from a text; the error names path, line and column. */
export function parseJson(text: string, path: string, code: GiantErrorCode = "format"): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const { problem } = scanJson(text);
    const offset = problem?.offset ?? 0;
    throw new GiantError(code, `${path}:${lineOf(text, offset)}: column ${columnOf(text, offset)}: ${problem?.message ?? "not valid JSON"}`, {
      facts: { path, line: lineOf(text, offset) },
      cause: error,
    });
  }
}

/** A JSON object from a file; `undefined` when the file does not exist. */
export async function readJsonObjectIfPresent(path: string): Promise<JsonObject | undefined> {
  const text = await readTextIfPresent(path);
  if (text === undefined) return undefined;
  const value = parseJson(text, path);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new GiantError(
      "format",
      `${path}: it holds ${Array.isArray(value) ? "an array" : value === null ? "null" : `a ${typeof value}`}, but an object was needed`,
      { facts: { path } },
    );
  }
  return value as JsonObject;
}

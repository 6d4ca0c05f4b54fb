/** Reads a data file of any known format into records. */
import { extname } from "node:path";
import { open } from "node:fs/promises";
import { GiantError } from "../base/errors.ts";
import { detectFormat, formatNamed } from "../data/format.ts";
import type { DataFormat } from "../data/data-format.ts";
import { documentsOf } from "../data/formats/text.ts";
import { controlField } from "../data/control.ts";
import { Problems } from "../data/problems.ts";
import type { TrainingRecord } from "../data/record.ts";
import { fileError, oneLine } from "./file-error.ts";
import { readText } from "./json-file.ts";
import { readJsonArray, readJsonl } from "./jsonl.ts";
import type { NumberedValue } from "./jsonl.ts";

export interface LoadedRecords {
  /** The file, as it was named. */
  readonly source: string;
  /** Name of the format. */
  readonly format: string;
  readonly records: readonly TrainingRecord[];
}

/** Records that the format is detected by. */
const LOOKED_AT = 20;

/**
 * Reads `.jsonl`, `.json` (an array, or one value a line) and `.txt` files.
 * @param options.format name of the format; detected from the first records otherwise.
 * @throws GiantError("data") naming up to 20 records that are broken, or saying that there are none.
 */
export async function loadRecords(path: string, options: { readonly format?: string } = {}): Promise<LoadedRecords> {
  const loaded = extname(path).toLowerCase() === ".txt" ? await loadText(path) : await loadValues(path, options.format);
  if (loaded.records.length === 0) {
    throw new GiantError("data", `${path}: it holds no records`, { hint: "A data set needs at least one record.", facts: { path } });
  }
  return loaded;
}

async function loadText(path: string): Promise<LoadedRecords> {
  const lines = (await readText(path)).split(/\r?\n/);
  const records = Array.from(documentsOf(lines), ({ line, content }): TrainingRecord => ({ ...content, source: path, line }));
  return { source: path, format: "text", records };
}

async function loadValues(path: string, formatName: string | undefined): Promise<LoadedRecords> {
  const problems = new Problems(path);
  let format: DataFormat | undefined = formatName === undefined ? undefined : formatNamed(formatName);
  const records: TrainingRecord[] = [];
  const first: NumberedValue[] = [];
  const read = ({ line, value }: NumberedValue, by: DataFormat): void => {
    try {
      records.push({ ...by.read(value), ...controlField(value), source: path, line });
    } catch (error) {
      if (!(error instanceof GiantError) || error.code !== "data") throw error;
      problems.add(line, oneLine(error.message));
    }
  };
  const decide = (): DataFormat => {
    const chosen = detectFormat(first, path);
    for (const value of first.splice(0)) read(value, chosen);
    return chosen;
  };
  for await (const value of await valuesOf(path, problems)) {
    if (format !== undefined) read(value, format);
    else if (first.push(value) === LOOKED_AT) format = decide();
  }
  if (format === undefined) {
    if (first.length === 0) problems.throwIfAny(); // nothing but broken lines
    format = decide();
  }
  problems.throwIfAny();
  return { source: path, format: format.name, records };
}

async function valuesOf(path: string, problems: Problems): Promise<AsyncGenerator<NumberedValue>> {
  switch (extname(path).toLowerCase()) {
    case ".jsonl":
    case ".ndjson":
      return readJsonl(path, problems);
    case ".json":
      return (await firstCharacter(path)) === "[" ? readJsonArray(path) : readJsonl(path, problems);
    default:
      throw new GiantError("data", `${path}: the kind of file cannot be told from its name`, {
        hint: "Name it .jsonl, .json or .txt, by what it holds.",
        facts: { path },
      });
  }
}

/** The first character that is no white space, among the first 4 KiB. */
async function firstCharacter(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
      return buffer.toString("utf8", 0, bytesRead).trim()[0];
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error, path, "read");
  }
}

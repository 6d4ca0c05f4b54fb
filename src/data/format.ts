/** The formats of data files: a format is a file in `formats/` and a line in the list here. */
import { GiantError } from "../base/errors.ts";
import type { DataFormat } from "./data-format.ts";
import { alpaca } from "./formats/alpaca.ts";
import { messages } from "./formats/messages.ts";
import { promptCompletion } from "./formats/prompt-completion.ts";
import { text } from "./formats/text.ts";

/** All formats; the first that detects a value has it. */
export const FORMATS: readonly DataFormat[] = [messages, alpaca, promptCompletion, text];

/** The format of that name. */
export function formatNamed(name: string): DataFormat {
  const format = FORMATS.find((each) => each.name === name);
  if (format === undefined)
    throw new GiantError("usage", `unknown data format ${JSON.stringify(name)}`, { hint: `Formats: ${FORMATS.map((each) => each.name).join(", ")}.` });
  return format;
}

/**
 * The one format of a file's first values.
 * @throws GiantError("data") when a value has none, or another one than the values before.
 */
export function detectFormat(values: readonly { readonly line: number; readonly value: unknown }[], source: string): DataFormat {
  let chosen: DataFormat | undefined;
  for (const { line, value } of values) {
    const format = FORMATS.find((each) => each.detect(value));
    if (format === undefined) {
      throw new GiantError("data", `${source}:${line}: no known format has ${shapeOf(value)}`, {
        hint: `Formats: ${FORMATS.map((each) => `${each.name} ${each.description}`).join("; ")}.`,
        facts: { source, line },
      });
    }
    if (chosen !== undefined && format !== chosen) {
      throw new GiantError("data", `${source}:${line}: the record is in the format ${format.name}, but those before it are ${chosen.name}`, {
        hint: "Put each format into a file of its own.",
        facts: { source, line },
      });
    }
    chosen = format;
  }
  if (chosen === undefined)
    throw new GiantError("data", `${source}: it holds no records`, { hint: "A data set needs at least one record.", facts: { source } });
  return chosen;
}

function shapeOf(value: unknown): string {
  if (Array.isArray(value)) return "an array as a record";
  if (typeof value !== "object" || value === null) return `${value === null ? "null" : `a ${typeof value}`} as a record`;
  const names = Object.keys(value).map((name) => JSON.stringify(name));
  return names.length === 0 ? "no fields" : `the fields ${names.slice(0, 12).join(", ")}${names.length > 12 ? ", …" : ""}`;
}

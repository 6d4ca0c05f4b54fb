/** Plain text, every token of which is trained on. */
import { GiantError } from "../../base/errors.ts";
import { fieldsOf, filledField, isFields } from "../fields.ts";
import type { DataFormat } from "../data-format.ts";
import type { TextContent } from "../record.ts";

export const text: DataFormat = {
  name: "text",
  description: '{"text": …}, or a text alone',
  detect: (value) => typeof value === "string" || (isFields(value) && "text" in value),
  read(value) {
    if (typeof value !== "string") return { kind: "text", text: filledField(fieldsOf(value, "the record"), "text") };
    if (value.trim() === "") throw new GiantError("data", "the text is empty");
    return { kind: "text", text: value };
  },
};

/** The line that separates documents in a file of plain text, as GPT-2's training data was written. */
const SEPARATOR = "<|endoftext|>";

/** Characters from which on a passage ends at the next blank line, when a file does not say where its documents end. */
const PASSAGE_CHARACTERS = 2000;

/**
 * The documents of a file of plain text: separated by lines `<|endoftext|>`; in a file without any, passages of some
 * paragraphs, so that a part can be held out, each going on in the next.
 */
export function* documentsOf(lines: readonly string[]): Generator<{ readonly line: number; readonly content: TextContent }> {
  const separated = lines.some((line) => line.trim() === SEPARATOR);
  const lastFilled = lines.findLastIndex((line) => line.trim() !== "");
  let start = 0;
  let characters = 0;
  for (let i = 0; i <= lines.length; i++) {
    const line = lines[i];
    const atEnd = line === undefined;
    const cut = separated ? line?.trim() === SEPARATOR : line?.trim() === "" && characters >= PASSAGE_CHARACTERS;
    characters += line?.length ?? 0;
    if (!atEnd && !cut) continue;
    const block = lines.slice(start, i);
    const first = block.findIndex((each) => each.trim() !== "");
    // White space between documents is no text; inside a passage that goes on, the blank line belongs to it.
    const goesOn = !separated && !atEnd && i <= lastFilled;
    const content = block.slice(Math.max(first, 0)).join("\n");
    if (first >= 0)
      yield { line: start + first + 1, content: goesOn ? { kind: "text", text: `${content}\n\n`, goesOn } : { kind: "text", text: content.trimEnd() } };
    start = i + 1;
    characters = 0;
  }
}

/** Lines tokens up with the text they were made from, so that a span of text becomes a span of tokens. */
import { GiantError } from "../base/errors.ts";
import { byteOf } from "./library-repairs.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface Alignment {
  /** UTF-8 offset in the normalised text behind each token; a token covers what lies between its predecessor's end and its own. */
  readonly ends: Int32Array; // [T]
  /** The UTF-8 offset in the normalised text of a UTF-16 index into the original text. */
  readonly offsetOf: (index: number) => number;
}

const encoder = new TextEncoder();
const SPACE = 0x20;

/**
 * Walks over `text` and `ids` (its encoding without special tokens) together.
 *
 * A leading space that the tokenizer put there itself covers nothing; white space that an added token swallows belongs to
 * that token or its neighbour. Throws GiantError "tokenizer" when the tokens cannot be found in the text, as with a
 * normaliser that changes letters.
 */
export function alignTokens(tokenizer: Tokenizer, ids: readonly number[], text: string): Alignment {
  const { unicodeForm, pieceKind } = tokenizer;
  const normal = (part: string): string => {
    const formed = unicodeForm === undefined ? part : part.normalize(unicodeForm);
    // Such a tokenizer cannot tell a written "▁" from a space.
    return pieceKind === "metaspace" ? formed.replaceAll("▁", " ") : formed;
  };
  const bytes = encoder.encode(normal(text));
  const ends = new Int32Array(ids.length);
  let at = 0;
  let unknownFrom = -1; // the first of a row of unknown tokens, whose length only the next known token tells
  ids.forEach((id, i) => {
    const surface = surfaceOf(tokenizer, id);
    if (id === tokenizer.unkId && matchAt(bytes, at, surface) < 0) {
      if (unknownFrom < 0) unknownFrom = i;
      ends[i] = at;
      return;
    }
    let end = matchAt(bytes, at, surface);
    if (unknownFrom >= 0) {
      for (let from = at + 1; end < 0 && from <= bytes.length; from++) end = matchAt(bytes, from, surface);
      ends.fill(Math.max(at, end - surface.length), unknownFrom, i);
      unknownFrom = -1;
    }
    for (let from = at; end < 0 && isWhiteSpace(bytes[from]); from++) end = matchAt(bytes, from + 1, surface);
    if (end < 0) {
      throw new GiantError(
        "tokenizer",
        `${tokenizer.where}: token ${i} (${JSON.stringify(tokenizer.tokenOf(id))}) of the rendered chat is not found in its text`,
        {
          hint: "This tokenizer changes the text it reads, so answers cannot be told from prompts; use a prompt/completion data set.",
        },
      );
    }
    at = end;
    ends[i] = end;
  });
  if (unknownFrom >= 0) ends.fill(bytes.length, unknownFrom);
  return { ends, offsetOf: (index) => encoder.encode(normal(text.slice(0, index))).length };
}

function isWhiteSpace(byte: number | undefined): boolean {
  return byte === SPACE || (byte !== undefined && byte >= 0x09 && byte <= 0x0d);
}

/** The offset behind `surface` at `from`, with or without its leading space; −1 when it does not stand there. */
function matchAt(bytes: Uint8Array, from: number, surface: Uint8Array): number {
  if (startsAt(bytes, from, surface, 0)) return from + surface.length;
  if (surface[0] === SPACE && startsAt(bytes, from, surface, 1)) return from + surface.length - 1;
  return -1;
}

function startsAt(bytes: Uint8Array, from: number, surface: Uint8Array, skip: number): boolean {
  if (from + surface.length - skip > bytes.length) return false;
  for (let i = skip; i < surface.length; i++) if (bytes[from + i - skip] !== surface[i]) return false;
  return true;
}

/** The UTF-8 bytes that a token stands for. */
function surfaceOf(tokenizer: Tokenizer, id: number): Uint8Array {
  const token = tokenizer.tokenOf(id) ?? "";
  if (!tokenizer.addedIds.has(id)) {
    if (tokenizer.pieceKind === "bytes") {
      const bytes = Array.from(token, (character) => BYTE_OF_CHARACTER.get(character));
      if (!bytes.includes(undefined)) return Uint8Array.from(bytes as number[]);
    } else if (tokenizer.pieceKind === "metaspace") {
      const byte = byteOf(token);
      return byte === undefined ? encoder.encode(token.replaceAll("▁", " ")) : Uint8Array.of(byte);
    }
  }
  return encoder.encode(token);
}

/** GPT-2's printable stand-ins for bytes (Radford 2019, `bytes_to_unicode`): printable Latin-1 as it is, the rest from U+0100 on. */
const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = byteCharacters();

function byteCharacters(): Map<string, number> {
  const map = new Map<string, number>();
  let moved = 0;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    map.set(String.fromCharCode(printable ? byte : 0x100 + moved++), byte);
  }
  return map;
}

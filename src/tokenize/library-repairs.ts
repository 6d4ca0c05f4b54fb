/** Works around the places where @huggingface/tokenizers 0.2.0 differs from the Rust `tokenizers` that models are trained with. */
import type { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import type { Step, TokenizerFile } from "./tokenizer-json.ts";
import { mapSteps } from "./tokenizer-json.ts";

/** ASCII punctuation and symbols, and every Unicode punctuation character: Rust's `is_punctuation`. */
const PUNCTUATION = "[\\p{P}\\x21-\\x2F\\x3A-\\x40\\x5B-\\x60\\x7B-\\x7E]";

/**
 * Rewrites steps that the library reads differently into equal ones that it reads rightly:
 * - `Digits` uses `\d` (ASCII); Rust splits at every numeric character (½, ², ٣ too).
 * - `Punctuation` joins runs and ignores `behavior`; Rust isolates each character unless told otherwise.
 * - the `Metaspace` decoder strips the first space even when `prepend_scheme` says that none was put there.
 */
export function repairSteps(file: TokenizerFile): TokenizerFile {
  return {
    ...file,
    pre_tokenizer: mapSteps(file.pre_tokenizer, (step) => {
      if (step.type === "Digits") return split(step["individual_digits"] === true ? "\\p{N}" : "\\p{N}+", "Isolated");
      if (step.type === "Punctuation") return split(PUNCTUATION, step["behavior"] ?? "Isolated");
      return step;
    }),
    decoder: mapSteps(file.decoder, (step) => {
      const keepsSpace = step.type === "Metaspace" && step["prepend_scheme"] === "never";
      return keepsSpace ? { type: "Replace", pattern: { String: step["replacement"] ?? "▁" }, content: " " } : step;
    }),
  };
}

function split(regex: string, behavior: unknown): Step {
  return { type: "Split", pattern: { Regex: regex }, behavior, invert: false };
}

interface LibraryStep {
  readonly config?: { readonly type?: string; readonly behavior?: string; readonly invert?: boolean };
  readonly pattern?: RegExp | null;
  readonly tokenizers?: readonly LibraryStep[];
  readonly decoders?: readonly LibraryStep[];
  pre_tokenize_text?: (text: string) => string[];
  decode_chain?: (tokens: string[]) => string[];
}

interface LibraryModel {
  readonly tokens_to_ids: ReadonlyMap<string, number>;
  encode(tokens: string[]): string[];
}

/**
 * Replaces, in a constructed tokenizer, what the library computes differently:
 * - `Split` knows only two of the five behaviours, and drops the rest of the text when inverted;
 * - `ByteFallback` decodes broken UTF-8 leniently; Rust writes one U+FFFD for each byte of a run that is not valid;
 * - `Unigram` ignores `byte_fallback`;
 * - `BPE` remembers the tokens of short pieces only, so that a text of `▁` words, which is one long piece, is slow.
 */
export function repairLibrary(library: LibraryTokenizer, file: TokenizerFile): void {
  repairPreTokenizer(library.pre_tokenizer as unknown as LibraryStep | null);
  repairDecoder(library.decoder as unknown as LibraryStep | null);
  if (file.model.type === "Unigram" && file.model["byte_fallback"] === true) {
    repairUnigram(library.model as unknown as LibraryModel);
  }
  if (file.model.type === "BPE" && file.model["ignore_merges"] !== true) {
    divideAtWords(library.model as unknown as LibraryModel, Object.keys(file.model["vocab"] as object));
  }
}

function repairPreTokenizer(step: LibraryStep | null): void {
  if (step === null) return;
  step.tokenizers?.forEach(repairPreTokenizer);
  const { config, pattern } = step;
  if (config?.type !== "Split" || !pattern) return;
  const behavior = config.behavior ?? "Isolated";
  const inverted = config.invert === true;
  step.pre_tokenize_text = (text) => splitText(text, pattern, behavior, inverted);
}

/** Splits as Rust's `NormalizedString::split` does; `inverted` swaps matches and the text between them. */
export function splitText(text: string, pattern: RegExp, behavior: string, inverted: boolean): string[] {
  const parts: { text: string; isMatch: boolean }[] = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (match[0] === "") continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index), isMatch: inverted });
    parts.push({ text: match[0], isMatch: !inverted });
    end = match.index + match[0].length;
  }
  if (end < text.length) parts.push({ text: text.slice(end), isMatch: inverted });

  const pieces: string[] = [];
  switch (behavior) {
    case "Removed":
      return parts.filter((part) => !part.isMatch).map((part) => part.text);
    case "Contiguous":
    case "MergedWithPrevious":
      parts.forEach((part, i) => {
        const before = parts[i - 1];
        const joins = before && (behavior === "Contiguous" ? part.isMatch === before.isMatch : part.isMatch && !before.isMatch);
        if (joins) pieces[pieces.length - 1] += part.text;
        else pieces.push(part.text);
      });
      return pieces;
    case "MergedWithNext":
      parts.forEach((part, i) => {
        const before = parts[i - 1];
        if (before && before.isMatch && !part.isMatch) pieces[pieces.length - 1] += part.text;
        else pieces.push(part.text);
      });
      return pieces;
    default:
      return parts.map((part) => part.text);
  }
}

function repairDecoder(step: LibraryStep | null): void {
  if (step === null) return;
  step.decoders?.forEach(repairDecoder);
  if (step.config?.type === "ByteFallback") step.decode_chain = decodeByteFallback;
}

/** The byte that a token such as `<0x0A>` stands for; undefined for every other token. */
export function byteOf(token: string): number | undefined {
  return token.length === 6 && /^<0x[0-9A-Fa-f]{2}>$/.test(token) ? Number.parseInt(token.slice(3, 5), 16) : undefined;
}

/** Joins each run of byte tokens into text; a run that is not UTF-8 gives one U+FFFD for each of its bytes. */
function decodeByteFallback(tokens: readonly string[]): string[] {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const pieces: string[] = [];
  let run: number[] = [];
  const flush = (): void => {
    if (run.length === 0) return;
    try {
      pieces.push(decoder.decode(Uint8Array.from(run)));
    } catch {
      pieces.push("\uFFFD".repeat(run.length));
    }
    run = [];
  };
  for (const token of tokens) {
    const byte = byteOf(token);
    if (byte === undefined) {
      flush();
      pieces.push(token);
    } else {
      run.push(byte);
    }
  }
  flush();
  return pieces;
}

function repairUnigram(model: LibraryModel): void {
  const encode = model.encode.bind(model);
  const encoder = new TextEncoder();
  model.encode = (tokens) =>
    encode(tokens).flatMap((piece) => {
      if (model.tokens_to_ids.has(piece)) return [piece];
      const bytes = Array.from(encoder.encode(piece), (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
      return bytes.every((token) => model.tokens_to_ids.has(token)) ? bytes : [piece];
    });
}

/**
 * Hands the model one word at a time. The tokens are the same when no token holds a `▁` behind another character:
 * then no merge joins the end of a word to the next one.
 */
function divideAtWords(model: LibraryModel, vocabulary: readonly string[]): void {
  let hasWords = false;
  for (const token of vocabulary) {
    hasWords ||= token.startsWith("▁");
    if (/[^▁]▁/u.test(token)) return;
  }
  if (!hasWords) return;
  const encode = model.encode.bind(model);
  model.encode = (tokens) => encode(tokens.flatMap((token) => token.split(/(?<=[^▁])(?=▁)/u)));
}

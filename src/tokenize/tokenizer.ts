/** A tokenizer made from the parsed files of a Hugging Face model folder: text to token ids and back. */
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { GiantError } from "../base/errors.ts";
import type { ChatTemplate } from "./chat-template.ts";
import { createChatTemplate } from "./chat-template.ts";
import { repairLibrary, repairSteps } from "./library-repairs.ts";
import type { SpecialTokens } from "./special-tokens.ts";
import { completeAddedTokens, readSpecialTokens } from "./special-tokens.ts";
import type { JsonObject, Step, TokenizerFile } from "./tokenizer-json.ts";
import { isObject, readTokenizerFile, refuse, visitSteps } from "./tokenizer-json.ts";

export interface TokenizerFiles {
  /** Parsed `tokenizer.json`. */
  readonly tokenizerJson: unknown;
  /** Parsed `tokenizer_config.json`. */
  readonly tokenizerConfig?: unknown;
  /** Parsed `special_tokens_map.json`. */
  readonly specialTokensMap?: unknown;
  /** The text of `chat_template.jinja`; it wins over `tokenizer_config.json`'s `chat_template`. */
  readonly chatTemplateJinja?: string | undefined;
  /** What error messages call the source, such as the model's folder. */
  readonly where: string;
}

export interface EncodeOptions {
  /** True for a plain completion (the post-processor adds BOS and the like), false for text that a chat template wrote. */
  readonly addSpecialTokens: boolean;
}

export interface DecodeOptions {
  readonly skipSpecialTokens: boolean;
}

/** How a token's string stands for text: bytes as characters, spaces as `▁` (with `<0xNN>` bytes), or as it is. */
export type PieceKind = "bytes" | "metaspace" | "plain";

export interface Tokenizer {
  readonly where: string;
  /** The largest id + 1. */
  readonly vocabularySize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  readonly unkId: number | undefined;
  readonly specialTokens: SpecialTokens;
  /** Ids that `skipSpecialTokens` leaves out. */
  readonly specialIds: ReadonlySet<number>;
  /** Ids of every token that is matched as it stands; the special ones are among them. */
  readonly addedIds: ReadonlySet<number>;
  readonly pieceKind: PieceKind;
  /** The Unicode form that the normaliser brings text into, if any. */
  readonly unicodeForm: "NFC" | "NFD" | "NFKC" | "NFKD" | undefined;
  encode(text: string, options: EncodeOptions): number[];
  /**
   * The text of the tokens, without `transformers`' clean-up of spaces before punctuation, which would lose characters
   * (so that encoding the text again would give other ids). Ids beyond the vocabulary (a padded embedding) are no text.
   */
  decode(ids: readonly number[], options: DecodeOptions): string;
  tokenOf(id: number): string | undefined;
  idOf(token: string): number | undefined;
  readonly chatTemplate: ChatTemplate | undefined;
  /** Canonical JSON of everything that decides the ids; equal for two tokenizers exactly when they are the same one. */
  identity(): string;
}

/**
 * Makes a tokenizer; throws GiantError "tokenizer" naming the field that is broken or not supported.
 *
 * The post-processor of `tokenizer.json` is taken as it is; only where there is none, `add_bos_token` / `add_eos_token` of
 * `tokenizer_config.json` make one (for Llama's own class BOS is the default), as in `transformers`.
 */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const { where } = files;
  const config = objectOrEmpty(files.tokenizerConfig, "tokenizer_config.json", where);
  const map = objectOrEmpty(files.specialTokensMap, "special_tokens_map.json", where);
  const read = readTokenizerFile(files.tokenizerJson, where);
  const specialTokens = readSpecialTokens(config, map, where);
  const idOf = vocabularyOf(read.model);
  const added = completeAddedTokens(read, idOf, config, specialTokens, where);
  for (const token of added) idOf.set(token.content, token.id);
  const file = repairSteps({
    ...read,
    added_tokens: added,
    post_processor: read.post_processor ?? postProcessorFromConfig(config, specialTokens),
  });
  checkTemplateTokens(file, idOf, where);

  const library = openLibrary(file, where);
  const tokenOf = new Map<number, string>();
  for (const [token, id] of idOf) if (!tokenOf.has(id)) tokenOf.set(id, token);
  for (const token of added) tokenOf.set(token.id, token.content);
  let vocabularySize = 0;
  for (const id of tokenOf.keys()) vocabularySize = Math.max(vocabularySize, id + 1);
  const specialIds = new Set(added.filter((token) => token.special).map((token) => token.id));
  const idOfName = (name: keyof SpecialTokens): number | undefined => {
    const token = specialTokens[name];
    return token === undefined ? undefined : idOf.get(token);
  };
  const chatTemplate = createChatTemplate({
    jinja: files.chatTemplateJinja,
    config: config["chat_template"],
    specialTokens,
    where,
  });

  return {
    where,
    vocabularySize,
    bosId: idOfName("bos_token"),
    eosId: idOfName("eos_token"),
    padId: idOfName("pad_token"),
    unkId: idOfName("unk_token") ?? unknownOf(file.model, idOf),
    specialTokens,
    specialIds,
    addedIds: new Set(added.map((token) => token.id)),
    pieceKind: pieceKindOf(file.decoder),
    unicodeForm: unicodeFormOf(file.normalizer),
    chatTemplate,
    encode(text, { addSpecialTokens }) {
      const ids = inLibrary(where, () => library.encode(text, { add_special_tokens: addSpecialTokens }).ids);
      if (ids.includes(undefined as unknown as number)) {
        throw new GiantError("tokenizer", `${where}: the text holds a piece outside the vocabulary, and the tokenizer has no unknown token`, {
          hint: "Use a tokenizer with byte fallback or an unknown token, or remove the characters it does not know.",
        });
      }
      return ids;
    },
    decode(ids, { skipSpecialTokens }) {
      const kept = ids.filter((id) => tokenOf.has(id) && !(skipSpecialTokens && specialIds.has(id)));
      if (kept.length === 0) return "";
      return inLibrary(where, () => library.decode(kept, { clean_up_tokenization_spaces: false }));
    },
    tokenOf: (id) => tokenOf.get(id),
    idOf: (token) => idOf.get(token),
    identity: () => identityOf(file),
  };
}

function objectOrEmpty(value: unknown, name: string, where: string): JsonObject {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) refuse(where, name, value, "an object");
  return value;
}

function vocabularyOf(model: TokenizerFile["model"]): Map<string, number> {
  const vocabulary = model["vocab"];
  if (Array.isArray(vocabulary)) return new Map(vocabulary.map((piece: readonly unknown[], id) => [piece[0] as string, id]));
  return new Map(Object.entries(vocabulary as Record<string, number>));
}

function unknownOf(model: TokenizerFile["model"], idOf: ReadonlyMap<string, number>): number | undefined {
  if (model.type === "Unigram") return model["unk_id"] as number;
  return typeof model["unk_token"] === "string" ? idOf.get(model["unk_token"]) : undefined;
}

function postProcessorFromConfig(config: JsonObject, special: SpecialTokens): Step | null {
  const isLlama = /^(Code)?Llama(Tokenizer|TokenizerFast)$/.test(String(config["tokenizer_class"]));
  const bos = (config["add_bos_token"] ?? isLlama) === true ? special.bos_token : undefined;
  const eos = config["add_eos_token"] === true ? special.eos_token : undefined;
  if (bos === undefined && eos === undefined) return null;
  const item = (id: string): JsonObject => ({ SpecialToken: { id, type_id: 0 } });
  const single = [...(bos === undefined ? [] : [item(bos)]), { Sequence: { id: "A", type_id: 0 } }, ...(eos === undefined ? [] : [item(eos)])];
  return { type: "TemplateProcessing", single, pair: single, special_tokens: {} };
}

/** The tokens that a post-processor writes must exist, or the library would put `undefined` among the ids. */
function checkTemplateTokens(file: TokenizerFile, idOf: ReadonlyMap<string, number>, where: string): void {
  visitSteps(file.post_processor, (step) => {
    if (step.type !== "TemplateProcessing") return;
    const single = step["single"];
    if (!Array.isArray(single)) refuse(where, "tokenizer.json: post_processor.single", single, "an array");
    for (const item of single as unknown[]) {
      if (!isObject(item)) refuse(where, "tokenizer.json: post_processor.single: an item", item, "an object");
      const token = isObject(item["SpecialToken"]) ? item["SpecialToken"]["id"] : undefined;
      if (token !== undefined && !(typeof token === "string" && idOf.has(token))) {
        refuse(where, "tokenizer.json: post_processor.single: a special token", token, "a token of the vocabulary");
      }
    }
  });
}

function openLibrary(file: TokenizerFile, where: string): LibraryTokenizer {
  return inLibrary(where, () => {
    const library = new LibraryTokenizer(file, {});
    repairLibrary(library, file);
    // A step that is broken inside fails only when it is used: here, and not after the model was loaded.
    const { ids } = library.encode("a 1\n", { add_special_tokens: true });
    const known = ids.filter((id: number | undefined) => id !== undefined);
    if (known.length > 0) library.decode(known, { clean_up_tokenization_spaces: false });
    return library;
  });
}

/** Runs the library; what it throws becomes an error of ours, as it can only come from the tokenizer's file. */
function inLibrary<T>(where: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GiantError("tokenizer", `${where}: tokenizer.json cannot be used: ${reason.replaceAll("\n", " ")}`, {
      hint: "The file is broken, or needs something that is not supported here; the message says what.",
      cause,
    });
  }
}

function pieceKindOf(decoder: Step | null): PieceKind {
  let kind: PieceKind = "plain";
  visitSteps(decoder, (step) => {
    if (step.type === "ByteLevel") kind = "bytes";
    else if (kind === "plain" && ["ByteFallback", "Metaspace"].includes(step.type)) kind = "metaspace";
    else if (kind === "plain" && step.type === "Replace" && step["content"] === " ") kind = "metaspace";
  });
  return kind;
}

function unicodeFormOf(normalizer: Step | null): Tokenizer["unicodeForm"] {
  let form: Tokenizer["unicodeForm"];
  visitSteps(normalizer, ({ type }) => {
    if (type === "NFC" || type === "NFD" || type === "NFKC" || type === "NFKD") form = type;
  });
  return form;
}

function identityOf(file: TokenizerFile): string {
  const merges = file.model["merges"];
  const model = Array.isArray(merges)
    ? { ...file.model, merges: merges.map((merge: unknown) => (typeof merge === "string" ? merge.split(" ") : merge)) }
    : file.model;
  const { normalizer, pre_tokenizer, post_processor, added_tokens } = file;
  const byId = added_tokens.toSorted((a, b) => a.id - b.id || (a.content < b.content ? -1 : 1));
  return canonicalJson({ normalizer, pre_tokenizer, post_processor, added_tokens: byId, model });
}

/** JSON without spaces and with sorted keys: equal values give equal texts. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? "null";
  const entries = Object.keys(value)
    .toSorted()
    .filter((key) => value[key] !== undefined);
  return `{${entries.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key])}`).join(",")}}`;
}

/** Gathers the special tokens of a model folder: `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens_decoder`. */
import type { AddedToken, JsonObject, TokenizerFile } from "./tokenizer-json.ts";
import { isObject, readAddedToken, refuse, shown } from "./tokenizer-json.ts";
import { GiantError } from "../base/errors.ts";

/** The special tokens that have a name, as the templates and `config.json` know them. */
const SPECIAL_TOKEN_NAMES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"] as const;

export type SpecialTokenName = (typeof SPECIAL_TOKEN_NAMES)[number];

export type SpecialTokens = Partial<Record<SpecialTokenName, string>>;

/**
 * The named special tokens, as texts; `tokenizer_config.json` wins over `special_tokens_map.json`.
 * Both keep a token as a string, or as an object with `content`; null and absent mean that there is none.
 */
export function readSpecialTokens(config: JsonObject, map: JsonObject, where: string): SpecialTokens {
  const tokens: SpecialTokens = {};
  for (const name of SPECIAL_TOKEN_NAMES) {
    // An explicit null says "none", and is not to be filled from the other file.
    const inConfig = name in config;
    const value = inConfig ? config[name] : map[name];
    const text = textOf(value, `${inConfig ? "tokenizer_config.json" : "special_tokens_map.json"}: ${name}`, where);
    if (text !== undefined) tokens[name] = text;
  }
  return tokens;
}

function textOf(value: unknown, field: string, where: string): string | undefined {
  if (value === null || value === undefined || value === false) return undefined;
  const text = isObject(value) ? value["content"] : value;
  if (typeof text !== "string") refuse(where, field, value, 'a string, or an object with "content"');
  return text === "" ? undefined : text;
}

/**
 * The added tokens of `tokenizer.json` and, behind them, those that only the other files name, as `transformers` adds
 * them when it loads the folder: by their id in `added_tokens_decoder`, by the vocabulary's id, or with the next free one.
 */
export function completeAddedTokens(
  file: TokenizerFile,
  idOf: ReadonlyMap<string, number>,
  config: JsonObject,
  special: SpecialTokens,
  where: string,
): AddedToken[] {
  const tokens = [...file.added_tokens];
  const known = new Map(tokens.map((token) => [token.content, token.id]));
  const contentOf = new Map<number, string>(tokens.map((token) => [token.id, token.content]));
  for (const [content, id] of idOf) if (!contentOf.has(id)) contentOf.set(id, content);

  const decoder = config["added_tokens_decoder"] ?? {};
  if (!isObject(decoder)) refuse(where, "tokenizer_config.json: added_tokens_decoder", decoder, "an object from id to token");
  for (const [key, value] of Object.entries(decoder)) {
    const field = `tokenizer_config.json: added_tokens_decoder[${shown(key)}]`;
    const token = readAddedToken(value, /^\d+$/.test(key) ? Number(key) : undefined, field, where);
    const own = known.get(token.content) ?? idOf.get(token.content);
    const other = contentOf.get(token.id);
    if ((own !== undefined && own !== token.id) || (other !== undefined && other !== token.content)) {
      const clash = own !== undefined && own !== token.id ? `${shown(token.content)} the id ${own}` : `${token.id} to ${shown(other)}`;
      throw new GiantError("tokenizer", `${where}: ${field} is ${shown(token.content)}, but tokenizer.json gives ${clash}`, {
        hint: "tokenizer.json and tokenizer_config.json belong to different models; take both from the same folder.",
        facts: { where, id: token.id, content: token.content },
      });
    }
    add(token);
  }

  const additional = config["additional_special_tokens"] ?? [];
  if (!Array.isArray(additional)) {
    refuse(where, "tokenizer_config.json: additional_special_tokens", additional, "an array of tokens");
  }
  const texts = additional.map((each: unknown, i) => textOf(each, `tokenizer_config.json: additional_special_tokens[${i}]`, where));
  for (const content of [...Object.values(special), ...texts]) {
    if (content === undefined) continue;
    let id = known.get(content) ?? idOf.get(content);
    if (id === undefined) {
      id = 0;
      for (const each of contentOf.keys()) id = Math.max(id, each + 1);
    }
    add({ id, content, special: true, normalized: false, lstrip: false, rstrip: false });
  }
  return tokens;

  function add(token: AddedToken): void {
    if (known.has(token.content)) return;
    tokens.push(token);
    known.set(token.content, token.id);
    contentOf.set(token.id, token.content);
  }
}

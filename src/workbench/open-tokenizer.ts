/** The tokenizer of an open model, checked against its vocabulary. */
import { GiantError } from "../base/errors.ts";
import { checkTokenizerFits } from "../tokenize/fit.ts";
import { createTokenizer, type Tokenizer } from "../tokenize/tokenizer.ts";
import type { OpenModel } from "./open-model.ts";

/**
 * Makes the tokenizer of a model's folder.
 * @throws GiantError("tokenizer") when there is none, when it is not supported, or when it has ids the model does not know.
 */
export function openTokenizer(model: OpenModel): Tokenizer {
  const { files, folder, architecture } = model;
  if (files.tokenizer === undefined) {
    throw new GiantError("tokenizer", `${folder}: tokenizer.json is missing`, { hint: "Download tokenizer.json from where the model came from." });
  }
  const tokenizer = createTokenizer({
    tokenizerJson: files.tokenizer,
    tokenizerConfig: files.tokenizerConfig,
    specialTokensMap: files.specialTokensMap,
    chatTemplateJinja: files.chatTemplate,
    where: folder,
  });
  checkTokenizerFits(tokenizer, architecture.vocabSize);
  return tokenizer;
}

/** Tokens that end an answer: those of generation_config.json, else of config.json, else the tokenizer's. */
export function stopTokensOf(model: OpenModel, tokenizer: Tokenizer): number[] {
  const configured = model.files.generationConfig?.["eos_token_id"];
  const listed = Array.isArray(configured) ? configured : configured === undefined || configured === null ? [] : [configured];
  const ids = listed.filter((id): id is number => Number.isInteger(id));
  if (ids.length > 0) return ids;
  if (model.architecture.eosTokenIds.length > 0) return [...model.architecture.eosTokenIds];
  return tokenizer.eosId === undefined ? [] : [tokenizer.eosId];
}

/** Reads a model folder in the layout of Hugging Face: configuration, tokenizer files, chat template and weights. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { GiantError } from "../base/errors.ts";
import { openCheckpoint } from "./checkpoint.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { fileError } from "./file-error.ts";
import { readJsonObjectIfPresent, readTextIfPresent } from "./json-file.ts";
import type { JsonObject } from "./json-file.ts";

/** What a folder says of a tokenizer; files that are absent are left out. */
export interface TokenizerFiles {
  /** tokenizer.json */
  readonly tokenizer?: JsonObject;
  /** tokenizer_config.json */
  readonly tokenizerConfig?: JsonObject;
  /** special_tokens_map.json */
  readonly specialTokensMap?: JsonObject;
  /** chat_template.jinja, or `chat_template` of chat_template.json; templates inside tokenizer_config.json stay there. */
  readonly chatTemplate?: string;
}

export interface ModelFolder extends TokenizerFiles {
  readonly folder: string;
  /** config.json */
  readonly config: JsonObject;
  /** generation_config.json */
  readonly generationConfig?: JsonObject;
  readonly checkpoint: Checkpoint;
}

/**
 * Reads everything in a model folder but the weights' contents.
 * @throws GiantError("model") when something is missing, GiantError("format") when a file is broken.
 */
export async function readModelFolder(folder: string): Promise<ModelFolder> {
  await expectFolder(folder);
  const config = await readJsonObjectIfPresent(join(folder, "config.json"));
  if (config === undefined) {
    throw new GiantError("model", `${folder} is not a model folder: config.json is missing`, {
      hint: "Name a folder with config.json, tokenizer.json and model.safetensors, as on the Hugging Face Hub.",
      facts: { folder },
    });
  }
  const generationConfig = await readJsonObjectIfPresent(join(folder, "generation_config.json"));
  return {
    folder,
    config,
    ...(generationConfig === undefined ? {} : { generationConfig }),
    ...(await readTokenizerFiles(folder)),
    checkpoint: await openCheckpoint(folder),
  };
}

/** Reads the tokenizer files of a folder; a folder without any gives an empty record. */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  await expectFolder(folder);
  const tokenizer = await readJsonObjectIfPresent(join(folder, "tokenizer.json"));
  const tokenizerConfig = await readJsonObjectIfPresent(join(folder, "tokenizer_config.json"));
  const specialTokensMap = await readJsonObjectIfPresent(join(folder, "special_tokens_map.json"));
  const chatTemplate = (await readTextIfPresent(join(folder, "chat_template.jinja"))) ?? (await readChatTemplateJson(folder));
  return {
    ...(tokenizer === undefined ? {} : { tokenizer }),
    ...(tokenizerConfig === undefined ? {} : { tokenizerConfig }),
    ...(specialTokensMap === undefined ? {} : { specialTokensMap }),
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
  };
}

async function expectFolder(folder: string): Promise<void> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(folder)).isDirectory();
  } catch (error) {
    throw fileError(error, folder, "read");
  }
  if (!isFolder) throw new GiantError("model", `${folder} is a file, but a model folder was needed`, { facts: { folder } });
}

async function readChatTemplateJson(folder: string): Promise<string | undefined> {
  const path = join(folder, "chat_template.json");
  const content = await readJsonObjectIfPresent(path);
  if (content === undefined) return undefined;
  const template = content["chat_template"];
  if (typeof template !== "string") throw new GiantError("format", `${path}: chat_template is not a string`, { facts: { path } });
  return template;
}

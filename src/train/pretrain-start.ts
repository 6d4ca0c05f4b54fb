/** What a pretraining run starts from: a new model with a tokenizer learnt from the corpus, or a model that is there. */
import { join } from "node:path";
import { GiantError, invariant } from "../base/errors.ts";
import { smallInit } from "../models/initial-weights.ts";
import { llamaConfig, type ModelShape, PRESETS } from "../models/presets.ts";
import type { TextContent, TrainingRecord } from "../data/record.ts";
import { openWeightsFile } from "../io/checkpoint.ts";
import { replaceFolderAtomic, writeFileAtomic } from "../io/atomic.ts";
import { kindOf } from "../io/folder.ts";
import { type JsonObject, readJsonObjectIfPresent } from "../io/json-file.ts";
import { readTokenizerFiles } from "../io/model-folder.ts";
import { trainBpe } from "../tokenize/bpe-training.ts";
import { BASE_SPECIAL_TOKENS, END_OF_TEXT, tokenizerConfig, tokenizerJson } from "../tokenize/tokenizer-files.ts";
import { createTokenizer } from "../tokenize/tokenizer.ts";
import { WordCounts } from "../tokenize/word-counts.ts";
import { NEW_MODEL_FILES, newModel, type NewModelFiles } from "../workbench/new-model.ts";
import { modelOf, openModel, type OpenModel } from "../workbench/open-model.ts";
import { checkpointName, listCheckpoints, PARAMETERS } from "./checkpoint.ts";
import type { TrainEvent } from "./events.ts";
import type { PretrainOptions } from "./pretrain-options.ts";
import { CHECKPOINTS } from "./run-folder.ts";

/** Folder of the run that holds the new model's files but its weights, which the seed decides. */
const START = "start";

export interface Start {
  readonly model: OpenModel;
  /** Writes the model's files into the run's folder, unless they are there. */
  readonly prepare: (folder: string) => Promise<void>;
}

/** Reads the model to go on with, or makes a new one; an earlier start of the same run is taken as it lies. */
export async function* openStart(options: PretrainOptions, documents: readonly TrainingRecord[]): AsyncGenerator<TrainEvent, Start> {
  const folder = join(options.output, START);
  const earlier = await readFiles(folder);
  // Once a run has a checkpoint it needs the weights no more that it was begun with.
  const begun = earlier !== undefined && (await listCheckpoints(join(options.output, CHECKPOINTS))).length > 0;
  if (options.init !== undefined && !begun) {
    const model = await openInit(options.init);
    return { model, prepare: () => writeFiles(folder, filesOf(model)) };
  }
  const files = earlier ?? (yield* makeFiles(options, documents));
  return { model: newModel(folder, files, options.seed), prepare: () => writeFiles(folder, files) };
}

/** A model folder, or the last checkpoint of a pretraining run, whether the run is finished or not. */
async function openInit(path: string): Promise<OpenModel> {
  const folder = join(path, START);
  const files = await readFiles(folder);
  if (files === undefined) return await openModel(path);
  const step = (await listCheckpoints(join(path, CHECKPOINTS))).at(-1);
  if (step === undefined)
    throw new GiantError("model", `${path}: the run has no checkpoint yet`, { hint: "Go on with it by --resume until it has saved one." });
  const weights = join(path, CHECKPOINTS, checkpointName(step), PARAMETERS);
  return modelOf({ folder, ...files, checkpoint: await openWeightsFile(weights) });
}

/** The files of a model that is there, as a new one has them. */
function filesOf({ files, folder }: OpenModel): NewModelFiles {
  const { config, tokenizer, tokenizerConfig, chatTemplate, generationConfig } = files;
  if (tokenizer === undefined) throw new GiantError("tokenizer", `${folder}: tokenizer.json is missing`, { hint: "Get the model again, with its tokenizer." });
  return {
    config,
    tokenizer,
    tokenizerConfig: { ...tokenizerConfig, ...(chatTemplate !== undefined && { chat_template: chatTemplate }) },
    generationConfig: generationConfig ?? {},
  };
}

async function* makeFiles(options: PretrainOptions, documents: readonly TrainingRecord[]): AsyncGenerator<TrainEvent, NewModelFiles> {
  const dimensions = shapeOf(options);
  const { tokenizer, tokenizerConfig } = options.tokenizer === undefined ? yield* learnTokenizer(options, documents) : await readTokenizer(options.tokenizer);
  const made = createTokenizer({ tokenizerJson: tokenizer, tokenizerConfig, where: options.tokenizer ?? "the new tokenizer" });
  const { bosId, eosId } = made;
  const end = eosId ?? bosId;
  if (end === undefined) throw new GiantError("tokenizer", `${options.tokenizer}: names neither an end-of-text nor a beginning-of-text token, needed one`);
  const config = llamaConfig(dimensions, {
    vocabSize: made.vocabularySize,
    contextLength: options.contextLength,
    tieWordEmbeddings: options.tieWordEmbeddings,
    bosTokenId: bosId ?? end,
    eosTokenId: end,
    initializerRange: smallInit(dimensions.hiddenSize),
  });
  const generationConfig = { bos_token_id: bosId ?? end, eos_token_id: end, pad_token_id: made.padId ?? end };
  return { config, tokenizer, tokenizerConfig, generationConfig };
}

async function* learnTokenizer(
  options: PretrainOptions,
  documents: readonly TrainingRecord[],
): AsyncGenerator<TrainEvent, Pick<NewModelFiles, "tokenizer" | "tokenizerConfig">> {
  yield { type: "preparing", work: `learning a vocabulary of ${options.vocabSize} tokens`, done: 0 };
  const { vocabSize, splitDigits, contextLength } = options;
  const counts = new WordCounts({ splitDigits });
  for (const document of documents) counts.add((document as TextContent).text);
  const vocabulary = trainBpe(counts, { vocabSize, specialTokens: BASE_SPECIAL_TOKENS });
  const json = tokenizerJson(vocabulary);
  return {
    tokenizer: {
      ...json,
      post_processor: { type: "Sequence", processors: [json["post_processor"], beginsWith(END_OF_TEXT, vocabulary.tokens.indexOf(END_OF_TEXT))] },
    },
    // The template is there for the conversations of later tuning.
    tokenizerConfig: tokenizerConfig({ maxLength: contextLength, chat: "dialogue" }),
  };
}

/** The post-processor that puts a token in front of every text. */
function beginsWith(token: string, id: number): JsonObject {
  const special = { SpecialToken: { id: token, type_id: 0 } };
  const sequence = (name: string): JsonObject => ({ Sequence: { id: name, type_id: 0 } });
  return {
    type: "TemplateProcessing",
    single: [special, sequence("A")],
    pair: [special, sequence("A"), special, sequence("B")],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

async function readTokenizer(folder: string): Promise<Pick<NewModelFiles, "tokenizer" | "tokenizerConfig">> {
  const { tokenizer, tokenizerConfig, chatTemplate } = await readTokenizerFiles(folder);
  if (tokenizer === undefined)
    throw new GiantError("tokenizer", `${folder}: tokenizer.json is missing`, { hint: "Name a folder that holds a tokenizer.json." });
  return { tokenizer, tokenizerConfig: { ...tokenizerConfig, ...(chatTemplate !== undefined && { chat_template: chatTemplate }) } };
}

function shapeOf(options: PretrainOptions): ModelShape {
  const preset = PRESETS[options.preset];
  invariant(preset !== undefined, `no preset ${options.preset}`);
  const shape = Object.fromEntries(Object.entries(preset).map(([name, size]) => [name, options[name as keyof ModelShape] ?? size])) as unknown as ModelShape;
  if (shape.hiddenSize % shape.numAttentionHeads !== 0 || (shape.hiddenSize / shape.numAttentionHeads) % 2 !== 0) {
    throw new GiantError(
      "usage",
      `--hidden-size ${shape.hiddenSize} and --num-attention-heads ${shape.numAttentionHeads}: each head needs an even number of columns`,
    );
  }
  if (shape.numAttentionHeads % shape.numKeyValueHeads !== 0) {
    throw new GiantError("usage", `--num-key-value-heads ${shape.numKeyValueHeads} does not divide the ${shape.numAttentionHeads} heads of queries`);
  }
  return shape;
}

async function readFiles(folder: string): Promise<NewModelFiles | undefined> {
  if ((await kindOf(folder)) !== "folder") return undefined;
  const found: Partial<Record<keyof NewModelFiles, JsonObject>> = {};
  for (const [key, name] of Object.entries(NEW_MODEL_FILES) as [keyof NewModelFiles, string][]) {
    const content = await readJsonObjectIfPresent(join(folder, name));
    if (content === undefined)
      throw new GiantError("file", `${join(folder, name)} is missing`, { hint: "The run is damaged: restore the file, or start a new run." });
    found[key] = content;
  }
  return found as NewModelFiles;
}

async function writeFiles(folder: string, files: NewModelFiles): Promise<void> {
  if ((await kindOf(folder)) === "folder") return;
  await replaceFolderAtomic(folder, async (temporary) => {
    for (const [key, name] of Object.entries(NEW_MODEL_FILES) as [keyof NewModelFiles, string][]) {
      await writeFileAtomic(join(temporary, name), `${JSON.stringify(files[key], null, 2)}\n`);
    }
  });
}

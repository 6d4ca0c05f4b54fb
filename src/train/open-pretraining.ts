/** Opens what a pretraining run works on: a corpus, a tokenizer learnt from it, and a model that does not know anything yet. */
import { basename } from "node:path";
import { GiantError } from "../base/errors.ts";
import { flagOf } from "../base/options.ts";
import { planEpoch, planPass, type BatchOptions } from "../data/batches.ts";
import { type ExampleSet } from "../data/examples.ts";
import type { TrainingRecord } from "../data/record.ts";
import { splitRecords } from "../data/split.ts";
import { type Corpus, loadCorpus } from "../io/corpus.ts";
import { fingerprintText } from "../io/fingerprint.ts";
import { createSampler } from "../generate/sampler.ts";
import { full } from "../peft/full.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { writeModelFolder } from "../workbench/model-writer.ts";
import type { OpenModel } from "../workbench/open-model.ts";
import { openTokenizer } from "../workbench/open-tokenizer.ts";
import { type BatchSource, stepsOf } from "./batch-source.ts";
import { encodeCorpus, heldOutText, textOf } from "./corpus-examples.ts";
import type { DataSummary, TrainEvent } from "./events.ts";
import { BUCKET, batchesOf, graphSubject, largestOf } from "./graph-subject.ts";
import { OF_A_NEW_MODEL, PRETRAIN_OPTIONS, type PretrainOptions } from "./pretrain-options.ts";
import { openStart, type Start } from "./pretrain-start.ts";
import type { RunSubject, SamplePrompt } from "./run-subject.ts";
import { validationOf } from "./validation-option.ts";

/** How samples are drawn: a model that has learnt little repeats itself when it is greedy. */
const SAMPLING = { temperature: 0.8, topP: 0.95 };

const STORED = { float32: "F32", bfloat16: "BF16", float16: "F16" } as const;

/** What of a corpus is learnt from, and what is measured on. */
interface Parts {
  readonly corpus: Corpus;
  readonly train: readonly TrainingRecord[];
  readonly held: readonly TrainingRecord[];
  readonly heldSource: string;
}

/** Opens everything, saying what it is at; closes again what was opened when something does not fit. */
export async function* openPretraining(options: PretrainOptions): AsyncGenerator<TrainEvent, RunSubject> {
  // The engine starts in a thread of its own while the corpus is read.
  const starting = startEngine({ device: options.device, ...(options.threads === undefined ? {} : { threads: options.threads }) });
  starting.catch(() => undefined); // Heard below; until then a failure must not count as unheard.
  let joined = false;
  try {
    const parts = await readParts(options);
    const start = yield* openStart(options, parts.train);
    const subject = yield* joinSubject(options, parts, start, starting);
    joined = true;
    return subject;
  } finally {
    if (!joined) {
      await starting.then(
        (engine) => engine.close(),
        () => undefined,
      );
    }
  }
}

async function readParts(options: PretrainOptions): Promise<Parts> {
  const corpus = await loadCorpus(options.data);
  const names = new Set(options.data.map((path) => basename(path)));
  const unknown = Object.keys(options.repeat).find((name) => !names.has(name));
  if (unknown !== undefined) {
    throw new GiantError("usage", `--repeat: no file of the corpus is called ${unknown}`, { hint: `The files are ${[...names].join(", ")}.` });
  }
  const wanted = validationOf(options);
  if (wanted.kind === "file") {
    const held = await loadCorpus([wanted.path]);
    return { corpus, train: corpus.documents, held: held.documents, heldSource: wanted.path };
  }
  const split = splitRecords(corpus.documents, wanted.kind === "fraction" ? wanted.fraction : 0, options.seed);
  return { corpus, train: split.train, held: split.validation, heldSource: namesOf(options.data) };
}

async function* joinSubject(
  options: PretrainOptions,
  parts: Parts,
  start: Start,
  starting: ReturnType<typeof startEngine>,
): AsyncGenerator<TrainEvent, RunSubject> {
  const { batchSize, seed, recompute, adamBeta1, adamBeta2, adamEpsilon, weightDecay, maxGradNorm, contextLength } = options;
  const { model } = start;
  const tokenizer = openTokenizer(model);
  const context = model.architecture.maxPositionEmbeddings;
  if (contextLength > context) {
    throw new GiantError("usage", `--context-length ${contextLength}: the model's context is ${context} tokens`, {
      hint: `Set --context-length to at most ${context}.`,
    });
  }
  const method = full(model.inventory);
  const train = yield* encodeCorpus(parts.train, tokenizer, contextLength, options.repeat);
  const heldText = heldOutText(parts.held, options.validationTokens, tokenizer, seed);
  const held = yield* encodeCorpus(heldText.records, tokenizer, contextLength, {});
  const batchOptions: BatchOptions = { batchSize, maxLength: contextLength, packing: true, bucket: BUCKET, seed };
  const padId = tokenizer.padId ?? tokenizer.eosId ?? 0;
  const first = planEpoch(train.examples, batchOptions, 0);
  requireBatch(
    first.reduce((most, { rows }) => Math.max(most, rows.length), 0),
    train,
    options,
  );
  const source: BatchSource = { epoch: (number) => batchesOf(train.examples, planEpoch(train.examples, batchOptions, number), padId) };
  const passes = planPass(held.examples, batchOptions);
  return graphSubject({
    engine: await starting,
    model,
    tokenizer,
    method,
    seed,
    sizes: {
      batch: largestOf(train.examples, first),
      ...(held.examples.length > 0 ? { validation: largestOf(held.examples, passes) } : {}),
      accumulation: options.gradientAccumulation,
      sampleTokens: options.sampleTokens,
    },
    learning: {
      optimizer: { beta1: adamBeta1, beta2: adamBeta2, epsilon: adamEpsilon, weightDecay },
      maxGradNorm,
      recompute,
      longestRow: contextLength,
    },
    train: source,
    ...(held.examples.length > 0 ? { validation: { ...batchesOf(held.examples, passes, padId), bytes: heldText.bytes } } : {}),
    trainSummary: summaryOf(namesOf(options.data), train),
    validationSummary: held.examples.length > 0 ? summaryOf(parts.heldSource, held) : null,
    ...(options.tokens === undefined ? {} : { totalSteps: stepsFor(options.tokens, train, stepsOf(source.epoch(0), options.gradientAccumulation)) }),
    sampleSteps: options.samples > 0 ? options.sampleSteps : 0,
    questions: beginnings(options.samplePrompts.slice(0, options.samples), tokenizer, context - options.sampleTokens),
    choosers: (prompts) => Array.from({ length: prompts }, (_, i) => createSampler({ ...SAMPLING, seed: seed + i })),
    fingerprints: fingerprints(parts, model),
    warnings: warningsOf(parts, held, options),
    resultName: "model",
    prepare: start.prepare,
    write: (folder, { tensors }) => writeModelFolder(folder, model, (name) => tensors.get(name)?.data as Float32Array | undefined, STORED[options.weightDtype]),
  });
}

function requireBatch(rows: number, train: ExampleSet, { batchSize, contextLength }: PretrainOptions): void {
  if (rows >= batchSize) return;
  throw new GiantError(
    "data",
    `the corpus gives ${train.summary.tokens} tokens, ${rows} sequence${rows === 1 ? "" : "s"} of at most ${contextLength}; one batch needs ${batchSize}`,
    {
      hint: "Give more text, or lower --batch-size or --context-length.",
      facts: { tokens: train.summary.tokens, rows, batchSize, contextLength },
    },
  );
}

function stepsFor(tokens: number, train: ExampleSet, stepsPerEpoch: number): number {
  return Math.max(1, Math.round((tokens / train.summary.tokens) * stepsPerEpoch));
}

function beginnings(prompts: readonly string[], tokenizer: Tokenizer, room: number): Map<SamplePrompt, readonly number[]> {
  const questions = new Map<SamplePrompt, readonly number[]>();
  for (const prompt of prompts) {
    const tokens = tokenizer.encode(prompt, { addSpecialTokens: true });
    if (tokens.length > 0 && tokens.length < room) questions.set({ prompt }, tokens);
  }
  return questions;
}

function fingerprints({ train, held }: Parts, model: OpenModel): Record<string, string> {
  // Text by text: all of a large corpus together would be longer than a string can be.
  const contents = (records: readonly TrainingRecord[]): string => fingerprintText(records.map((record) => fingerprintText(textOf(record))).join("\n"));
  return {
    tokenizer: fingerprintText(JSON.stringify(model.files.tokenizer)),
    data: contents(train),
    ...(held.length === 0 ? {} : { validation: contents(held) }),
  };
}

function warningsOf({ corpus }: Parts, held: ExampleSet, options: PretrainOptions): RunSubject["warnings"] {
  const warnings: { readonly message: string; readonly hint?: string }[] = [];
  if (corpus.duplicates > 0) warnings.push({ message: `${corpus.duplicates} documents stand in the corpus more than once; the first of each is kept` });
  if (held.examples.length === 0)
    warnings.push({ message: "no document is held out: nothing is measured before and after", hint: "Set --validation, or give more documents." });
  const idle =
    options.init === undefined ? [] : OF_A_NEW_MODEL.filter((name) => options[name] !== undefined && options[name] !== PRETRAIN_OPTIONS[name].default);
  if (idle.length > 0) warnings.push({ message: `${idle.map(flagOf).join(", ")}: of no effect beside --init, the model brings its own shape and tokenizer` });
  return warnings;
}

function namesOf(paths: readonly string[]): string {
  return paths.map((path) => basename(path)).join(", ");
}

function summaryOf(file: string, { summary }: ExampleSet): DataSummary {
  return {
    file,
    format: "text",
    examples: summary.kept,
    tokens: summary.tokens,
    labelledTokens: summary.trainedTokens,
    truncated: 0,
    dropped: 0,
    unlabelled: summary.withoutAnswer,
  };
}

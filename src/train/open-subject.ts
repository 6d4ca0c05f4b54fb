/** Opens what a tuning run works on: model, tokenizer, data, device and method, joined into one subject. */
import { planEpoch, planPass, buildBatch, type BatchOptions, type BatchPlan } from "../data/batches.ts";
import { encodeQuestion, type Example } from "../data/example.ts";
import { makeExamples, requireExamples, trainedOf, type ExampleSet } from "../data/examples.ts";
import { questionOf, type RecordContent, type TrainingRecord } from "../data/record.ts";
import { splitRecords } from "../data/split.ts";
import { fingerprintText } from "../io/fingerprint.ts";
import { loadRecords, type LoadedRecords } from "../io/records.ts";
import { openGenerator } from "../generate/generator.ts";
import { full } from "../peft/full.ts";
import { lora } from "../peft/lora.ts";
import { LORA_DEFAULTS, type LoraConfig } from "../peft/lora-config.ts";
import type { AdaptationMethod } from "../peft/method.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { newAdapter, type LoadedAdapter } from "../workbench/adapter.ts";
import { fingerprintsOf } from "../workbench/fingerprints.ts";
import { openModel, type OpenModel } from "../workbench/open-model.ts";
import { openTokenizer, stopTokensOf } from "../workbench/open-tokenizer.ts";
import { saveAdapter } from "../workbench/save-adapter.ts";
import type { BatchSource, EpochPlan } from "./batch-source.ts";
import type { DataSummary } from "./events.ts";
import { createLearner, type GraphLearner } from "./graph-learner.ts";
import type { Learner } from "./learner.ts";
import type { MemoryPlan } from "../plan/memory-check.ts";
import { planMemory } from "./memory-plan.ts";
import { type BatchSize, RunForecaster, type RunSetting } from "./run-programs.ts";
import { validationOf, type TuneOptions } from "./tune-options.ts";
import type { SamplePrompt, RunSubject } from "./run-subject.ts";

/** Row lengths are rounded up to a multiple of this, so that few shapes occur. */
const BUCKET = 32;

/** Longest sequence when none is named, in tokens. */
const USUAL_LENGTH = 512;

/** Opens everything but the weights; closes again what was opened when something does not fit. */
export async function openSubject(options: TuneOptions): Promise<RunSubject> {
  const model = await openModel(options.model);
  const tokenizer = openTokenizer(model);
  const method = methodOf(options, model);
  // The engine starts in a thread of its own while the data is read.
  const starting = startEngine({ device: options.device, ...(options.threads === undefined ? {} : { threads: options.threads }) });
  starting.catch(() => undefined); // Heard below; until then a failure must not count as unheard.
  try {
    const data = await readData(options, model, tokenizer);
    return new GraphSubject(options, model, tokenizer, method, data, await starting, await fingerprints(model, data));
  } catch (error) {
    await starting.then(
      (engine) => engine.close(),
      () => undefined,
    );
    throw error;
  }
}

/** The adaptation method that the options ask for. */
function methodOf(options: TuneOptions, model: OpenModel): AdaptationMethod {
  return options.method === "full" ? full(model.inventory) : lora(loraConfigOf(options), model.inventory, model.architecture.head);
}

/** PEFT's configuration for the options: one element with the characters of a regular expression is one. */
function loraConfigOf(options: TuneOptions): LoraConfig {
  const [first = "", ...others] = options.targetModules;
  const isPattern = others.length === 0 && (first === "all-linear" || /[\\^$*+?()[\]{}|]/.test(first));
  return {
    ...LORA_DEFAULTS,
    targetModules: isPattern ? first : options.targetModules,
    r: options.rank,
    loraAlpha: options.loraAlpha,
    loraDropout: options.loraDropout,
    useRslora: options.useRslora,
    rankPattern: options.rankPattern,
    alphaPattern: options.alphaPattern,
    modulesToSave: options.modulesToSave,
    bias: options.bias,
  };
}

interface TuningData {
  readonly loaded: LoadedRecords;
  readonly train: ExampleSet;
  readonly held: { readonly source: string; readonly format: string; readonly records: readonly TrainingRecord[]; readonly set: ExampleSet } | undefined;
  readonly maxLength: number;
  readonly warnings: readonly { readonly message: string; readonly hint?: string }[];
}

async function readData(options: TuneOptions, model: OpenModel, tokenizer: Tokenizer): Promise<TuningData> {
  const format = options.format === "auto" ? {} : { format: options.format };
  const loaded = await loadRecords(options.data, format);
  const wanted = validationOf(options);
  const split = splitRecords(loaded.records, wanted.kind === "fraction" ? wanted.fraction : 0, options.seed);
  const other = wanted.kind === "file" ? await loadRecords(wanted.path, format) : undefined;
  const records = other?.records ?? split.validation;
  const context = model.architecture.maxPositionEmbeddings;
  const maxLength = Math.min(options.maxLength ?? USUAL_LENGTH, context);
  const exampleOptions = { maxLength, trainOn: options.trainOn, longExamples: options.longExamples };
  const train = makeExamples(split.train, tokenizer, exampleOptions);
  requireExamples(train, options.data, maxLength);
  const set = makeExamples(records, tokenizer, exampleOptions);
  const warnings = [];
  if (options.maxLength !== undefined && options.maxLength > context)
    warnings.push({ message: `sequences are at most ${context} tokens long, the model's context; --max-length asked for ${options.maxLength}` });
  if (wanted.kind === "fraction" && set.examples.length === 0) {
    warnings.push({
      message: `${options.data}: too few records to hold some out; nothing is measured before and after`,
      hint: "Give more data, or a file by --validation.",
    });
  }
  if (other) requireExamples(set, other.source, maxLength);
  const held = set.examples.length === 0 ? undefined : { source: other?.source ?? options.data, format: (other ?? loaded).format, records, set };
  return { loaded, train, held, maxLength, warnings };
}

async function fingerprints(model: OpenModel, { loaded, held }: TuningData): Promise<Record<string, string>> {
  const { weights, tokenizer, chatTemplate } = await fingerprintsOf(model);
  const contents = (records: readonly TrainingRecord[]): string => fingerprintText(JSON.stringify(records.map(({ source: _source, ...content }) => content)));
  return {
    weights,
    ...(tokenizer === null ? {} : { tokenizer }),
    ...(chatTemplate === null ? {} : { chat_template: chatTemplate }),
    data: contents(loaded.records),
    ...(held === undefined ? {} : { validation: contents(held.records) }),
  };
}

class GraphSubject implements RunSubject {
  readonly device: string;
  readonly threads: number;
  readonly memory: MemoryPlan;
  readonly train: BatchSource;
  readonly validation?: EpochPlan;
  readonly trainSummary: DataSummary;
  readonly validationSummary: DataSummary | null;
  readonly prompts: readonly SamplePrompt[];
  readonly fingerprints: Readonly<Record<string, string>>;
  readonly warnings: RunSubject["warnings"];
  readonly resultName: string;
  readonly #options: TuneOptions;
  readonly #model: OpenModel;
  readonly #tokenizer: Tokenizer;
  readonly #method: AdaptationMethod;
  readonly #engine: Engine;
  readonly #longestRow: number;
  readonly #questions: Map<SamplePrompt, readonly number[]>;
  #learner: GraphLearner | undefined;

  constructor(
    options: TuneOptions,
    model: OpenModel,
    tokenizer: Tokenizer,
    method: AdaptationMethod,
    data: TuningData,
    engine: Engine,
    fingerprints: Readonly<Record<string, string>>,
  ) {
    this.#options = options;
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#method = method;
    this.#engine = engine;
    this.device = engine.device;
    this.threads = engine.threads;
    this.fingerprints = fingerprints;
    this.warnings = data.warnings;
    this.resultName = options.method === "full" ? "model" : "adapter";
    const batchOptions: BatchOptions = {
      batchSize: options.batchSize,
      maxLength: data.maxLength,
      packing: options.packing,
      bucket: BUCKET,
      seed: options.seed,
    };
    const padId = tokenizer.padId ?? tokenizer.eosId ?? 0;
    const { examples } = data.train;
    this.train = { epoch: (number) => batchesOf(examples, planEpoch(examples, batchOptions, number), padId) };
    if (data.held) this.validation = batchesOf(data.held.set.examples, planPass(data.held.set.examples, batchOptions), padId);
    this.trainSummary = summaryOf(options.data, data.loaded.format, data.train);
    this.validationSummary = data.held ? summaryOf(data.held.source, data.held.format, data.held.set) : null;
    this.#questions = questionsOf(
      data.held?.records ?? data.loaded.records,
      tokenizer,
      model.architecture.maxPositionEmbeddings - options.sampleTokens,
      options.samples,
    );
    this.prompts = [...this.#questions.keys()];
    // The longest example decides, not the longest plan of one epoch: a resumed run must cut attention the same way.
    this.#longestRow = options.packing ? data.maxLength : examples.reduce((longest, { tokens }) => Math.max(longest, tokens.length), 1);
    const longestQuestion = Math.max(1, ...[...this.#questions.values()].map((tokens) => tokens.length));
    const setting: RunSetting = {
      method,
      batch: largestOf(examples, planEpoch(examples, batchOptions, 0)),
      longestRow: this.#longestRow,
      recompute: options.recompute,
      packs: options.packWeights,
      dropout: options.method === "lora" && options.loraDropout > 0,
      accumulation: options.gradientAccumulation,
      maxGradNorm: options.maxGradNorm,
      ...(data.held && { validation: largestOf(data.held.set.examples, planPass(data.held.set.examples, batchOptions)) }),
      ...(this.prompts.length > 0 && { answers: { rows: this.prompts.length, promptTokens: longestQuestion, newTokens: options.sampleTokens } }),
    };
    const forecaster = new RunForecaster(model.architecture, (parameter) => model.locate(parameter).storage);
    const byLora = { words: "--method lora", method: () => lora(LORA_DEFAULTS, model.inventory, model.architecture.head) };
    this.memory = planMemory(forecaster, setting, options.method === "full" ? byLora : undefined);
  }

  async createLearner(): Promise<Learner> {
    const { seed, adamBeta1, adamBeta2, adamEpsilon, weightDecay, maxGradNorm, recompute, packWeights, loraDropout, method } = this.#options;
    this.#learner = await createLearner({
      engine: this.#engine,
      model: this.#model,
      adapter: await newAdapter(this.#method, this.#model, seed),
      optimizer: { beta1: adamBeta1, beta2: adamBeta2, epsilon: adamEpsilon, weightDecay },
      maxGradNorm,
      recompute,
      packWeights,
      longestRow: this.#longestRow,
      dropout: method === "lora" && loraDropout > 0,
    });
    return this.#learner;
  }

  async answer(prompts: readonly SamplePrompt[], maxTokens: number): Promise<string[]> {
    const generator = await openGenerator(this.#engine, this.#model, await this.#current());
    try {
      const questions = prompts.map((prompt) => this.#questions.get(prompt)!);
      const answers = await generator.generate(questions, { maxTokens, stopTokens: stopTokensOf(this.#model, this.#tokenizer) });
      return answers.map((tokens) => this.#tokenizer.decode(tokens, { skipSpecialTokens: true }).trim());
    } finally {
      await generator.close();
    }
  }

  async writeResult(folder: string): Promise<void> {
    await saveAdapter(folder, await this.#current(), this.#model);
  }

  async close(): Promise<void> {
    await this.#learner?.close();
    await this.#engine.close();
  }

  /** The method with the learner's tensors as they are now. */
  async #current(): Promise<LoadedAdapter> {
    return { method: this.#method, tensors: (await this.#learner!.save()).parameters };
  }
}

function batchesOf(examples: readonly Example[], plans: readonly BatchPlan[], padId: number): EpochPlan {
  return { length: plans.length, batch: (index) => buildBatch(examples, plans[index]!, padId) };
}

function summaryOf(file: string, format: string, { summary }: ExampleSet): DataSummary {
  return {
    file,
    format,
    examples: summary.kept,
    tokens: summary.tokens,
    labelledTokens: summary.trainedTokens,
    truncated: summary.truncated,
    dropped: summary.tooLong,
    unlabelled: summary.withoutAnswer,
  };
}

/** The first records that ask something and leave room for an answer, with the tokens of the question. */
function questionsOf(records: readonly TrainingRecord[], tokenizer: Tokenizer, room: number, count: number): Map<SamplePrompt, readonly number[]> {
  const questions = new Map<SamplePrompt, readonly number[]>();
  for (const record of records) {
    if (questions.size === count) break;
    const asked = questionOf(record);
    if (asked === undefined) continue;
    const tokens = encodeQuestion(asked.question, tokenizer);
    if (tokens.length > 0 && tokens.length < room) questions.set({ prompt: promptText(asked.question), reference: asked.answer }, tokens);
  }
  return questions;
}

/** What of a question is shown: the last message, or the prompt. */
function promptText(question: RecordContent): string {
  switch (question.kind) {
    case "messages":
      return question.messages.at(-1)?.content ?? "";
    case "completion":
      return question.prompt;
    case "text":
      return question.text;
  }
}

/** The largest micro-batch among plans, and the most labelled positions in any of them. */
function largestOf(examples: readonly Example[], plans: readonly BatchPlan[]): BatchSize {
  const labelled = examples.map(trainedOf);
  const labels = plans.map((plan) => plan.rows.flat().reduce((sum, index) => sum + labelled[index]!, 0));
  const largest = plans.reduce((a, b) => (b.rows.length * b.length > a.rows.length * a.length ? b : a), plans[0] ?? { rows: [], length: 0 });
  return { rows: largest.rows.length, length: largest.length, labels: labels.reduce((a, b) => Math.max(a, b), 0) };
}

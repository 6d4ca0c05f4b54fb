/** Opens what a tuning run works on: model, tokenizer, data, device and method, joined into one subject. */
import { GiantError } from "../base/errors.ts";
import { controlsKept, planEpoch, planPass, type BatchOptions } from "../data/batches.ts";
import { controlFromSystem } from "../data/control.ts";
import { encodeControl, encodeQuestion } from "../data/example.ts";
import { makeExamples, requireExamples, type ExampleSet } from "../data/examples.ts";
import { questionOf, type RecordContent, type TrainingRecord } from "../data/record.ts";
import { splitRecords } from "../data/split.ts";
import { fingerprintText } from "../io/fingerprint.ts";
import { loadRecords, type LoadedRecords } from "../io/records.ts";
import { lora } from "../peft/lora.ts";
import { LORA_DEFAULTS } from "../peft/lora-config.ts";
import { type AdaptationMethod, placesTaken, virtualTokensOf } from "../peft/method.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { fingerprintsOf } from "../workbench/fingerprints.ts";
import type { Int8Weights } from "../workbench/int8-weights.ts";
import type { OpenModel } from "../workbench/open-model.ts";
import { openTokenizer } from "../workbench/open-tokenizer.ts";
import { saveAdapter } from "../workbench/save-adapter.ts";
import type { DataSummary, TrainEvent } from "./events.ts";
import { openBase, openInt8 } from "./open-base.ts";
import { BUCKET, batchesOf, graphSubject, largestOf } from "./graph-subject.ts";
import { tuningMethod } from "./methods/tuning-methods.ts";
import type { TuneOptions } from "./tune-options.ts";
import { validationOf } from "./validation-option.ts";
import type { SamplePrompt, RunSubject } from "./run-subject.ts";

/** Longest sequence when none is named, in tokens. */
const USUAL_LENGTH = 512;

/** Opens everything but the weights; closes again what was opened when something does not fit. */
export async function* openSubject(options: TuneOptions): AsyncGenerator<TrainEvent, RunSubject> {
  const model = yield* openBase(options);
  const tokenizer = openTokenizer(model);
  const method = tuningMethod(options.method).make(options, model, tokenizer);
  // Products in int8 are for the CPU.
  const device = options.compute === "fast" ? "cpu" : options.device;
  // The engine starts in a thread of its own while the data is read.
  const starting = startEngine({ device, ...(options.threads === undefined ? {} : { threads: options.threads }) });
  starting.catch(() => undefined); // Heard below; until then a failure must not count as unheard.
  try {
    const data = await readData(options, model, tokenizer, method);
    const engine = await starting;
    const int8 = options.compute === "fast" ? await openInt8(options, engine, model) : undefined;
    return joinSubject(options, model, tokenizer, method, data, engine, await fingerprints(model, data), int8);
  } catch (error) {
    await starting.then(
      (engine) => engine.close(),
      () => undefined,
    );
    throw error;
  }
}

interface TuningData {
  readonly loaded: LoadedRecords;
  readonly train: ExampleSet;
  readonly held: { readonly source: string; readonly format: string; readonly records: readonly TrainingRecord[]; readonly set: ExampleSet } | undefined;
  readonly maxLength: number;
  readonly warnings: readonly { readonly message: string; readonly hint?: string }[];
}

async function readData(options: TuneOptions, model: OpenModel, tokenizer: Tokenizer, method: AdaptationMethod): Promise<TuningData> {
  const format = options.format === "auto" ? {} : { format: options.format };
  const load = async (path: string): Promise<LoadedRecords> => {
    const found = await loadRecords(path, format);
    return method.controlLength === undefined || options.controlFrom === "field" ? found : { ...found, records: found.records.map(controlFromSystem) };
  };
  const loaded = await load(options.data);
  const wanted = validationOf(options);
  const split = splitRecords(loaded.records, wanted.kind === "fraction" ? wanted.fraction : 0, options.seed);
  const other = wanted.kind === "file" ? await load(wanted.path) : undefined;
  const records = other?.records ?? split.validation;
  // Places before the text's own lie in the same context: virtual tokens, and a control's.
  const { maxPositionEmbeddings, vocabSize } = model.architecture;
  const taken = placesTaken(method) + (method.controlLength ?? 0);
  const context = maxPositionEmbeddings - taken;
  if (context < 2) {
    const [what, flag] = method.controlLength === undefined ? ["virtual tokens", "--num-virtual-tokens"] : ["places of a control", "--control-length"];
    throw new GiantError("usage", `${taken} ${what} leave no room for text: the model's context is ${maxPositionEmbeddings} tokens`, {
      hint: `Choose fewer by ${flag}.`,
    });
  }
  const maxLength = Math.min(options.maxLength ?? USUAL_LENGTH, context);
  const exampleOptions = {
    maxLength,
    trainOn: options.trainOn,
    longExamples: options.longExamples,
    virtualTokens: virtualTokensOf(method, vocabSize),
    ...(method.controlLength !== undefined && { controlLength: method.controlLength }),
  };
  const train = makeExamples(split.train, tokenizer, exampleOptions);
  requireExamples(train, options.data, maxLength);
  const set = makeExamples(records, tokenizer, exampleOptions);
  const warnings = controlWarnings(loaded, train, method);
  if (options.maxLength !== undefined && options.maxLength > context)
    warnings.push({
      message: `sequences are at most ${context} tokens long, the model's context${taken > 0 ? ` without the ${taken} places that the method takes` : ""}; --max-length asked for ${options.maxLength}`,
    });
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

/** What a run must say of control texts that are there and not read, or read and not there. */
function controlWarnings({ source, records }: LoadedRecords, { summary }: ExampleSet, method: AdaptationMethod): { message: string; hint?: string }[] {
  const named = records.filter(({ control }) => control !== undefined).length;
  if (method.controlLength === undefined) {
    if (named === 0) return [];
    return [
      { message: `${source}: ${named} records have a control text, which the method ${method.name} does not read`, hint: "--method control reads them." },
    ];
  }
  if (summary.controlled > 0) return [];
  return [
    {
      message: `${source}: no record has a control text; the branch learns to be without one`,
      hint: "Give records the field control, or set --control-from system.",
    },
  ];
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

/** Joins what was opened into a subject. */
function joinSubject(
  options: TuneOptions,
  model: OpenModel,
  tokenizer: Tokenizer,
  method: AdaptationMethod,
  data: TuningData,
  engine: Engine,
  fingerprints: Readonly<Record<string, string>>,
  int8: Int8Weights | undefined,
): RunSubject {
  const { batchSize, packing, seed, recompute, packWeights, adamBeta1, adamBeta2, adamEpsilon, weightDecay, maxGradNorm } = options;
  const rowLength = data.maxLength + (method.virtualTokens ?? 0);
  const batchOptions: BatchOptions = { batchSize, maxLength: rowLength, packing, bucket: BUCKET, seed };
  const padId = tokenizer.padId ?? tokenizer.eosId ?? 0;
  const { examples } = data.train;
  const { held } = data;
  const whole = method.layout === undefined;
  const room = model.architecture.maxPositionEmbeddings - placesTaken(method) - (method.controlLength ?? 0) - options.sampleTokens;
  const asked = questionsOf(held?.records ?? data.loaded.records, tokenizer, room, options.samples);
  return graphSubject({
    engine,
    model,
    tokenizer,
    method,
    seed,
    sizes: {
      batch: largestOf(examples, planEpoch(examples, batchOptions, 0)),
      ...(held ? { validation: largestOf(held.set.examples, planPass(held.set.examples, batchOptions)) } : {}),
      accumulation: options.gradientAccumulation,
      sampleTokens: options.sampleTokens,
    },
    ...(whole ? { lighter: { words: "--method lora", method: () => lora(LORA_DEFAULTS, model.inventory, model.architecture.head) } } : {}),
    learning: {
      optimizer: { beta1: adamBeta1, beta2: adamBeta2, epsilon: adamEpsilon, weightDecay },
      maxGradNorm,
      recompute,
      packWeights,
      ...(int8 && { int8 }),
      // The longest example decides, not the longest plan of one epoch: a resumed run must cut attention the same way.
      longestRow: packing ? rowLength : examples.reduce((longest, { tokens }) => Math.max(longest, tokens.length), 1),
      dropout: !whole && options.loraDropout > 0,
    },
    train: {
      epoch: (number) => batchesOf(examples, planEpoch(examples, batchOptions, number), padId, controlsKept(options.controlDropout, seed, number)),
    },
    ...(held ? { validation: batchesOf(held.set.examples, planPass(held.set.examples, batchOptions), padId) } : {}),
    trainSummary: summaryOf(options.data, data.loaded.format, data.train),
    validationSummary: held ? summaryOf(held.source, held.format, held.set) : null,
    questions: new Map([...asked].map(([prompt, { tokens }]) => [prompt, tokens])),
    ...(method.controlLength !== undefined && {
      controls: new Map([...asked].map(([prompt, { control }]) => [prompt, Array.from(control ?? []).slice(0, method.controlLength)])),
    }),
    fingerprints,
    warnings: data.warnings,
    resultName: whole ? "model" : "adapter",
    write: (folder, current) => saveAdapter(folder, current, model),
  });
}

export function summaryOf(file: string, format: string, { summary }: ExampleSet): DataSummary {
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

interface Question {
  readonly tokens: readonly number[];
  readonly control: Int32Array | undefined;
}

/** The first records that ask something and leave room for an answer, with the tokens of the question and its control. */
function questionsOf(records: readonly TrainingRecord[], tokenizer: Tokenizer, room: number, count: number): Map<SamplePrompt, Question> {
  const questions = new Map<SamplePrompt, Question>();
  for (const record of records) {
    if (questions.size === count) break;
    const asked = questionOf(record);
    if (asked === undefined) continue;
    const tokens = encodeQuestion(asked.question, tokenizer);
    if (tokens.length > 0 && tokens.length < room)
      questions.set({ prompt: promptText(asked.question), reference: asked.answer }, { tokens, control: encodeControl(record, tokenizer) });
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

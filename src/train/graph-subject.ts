/** The subject of a run: a model on an engine, learning by a method's tensors, with its batches and prompts. */
import { trainedOf } from "../data/examples.ts";
import type { Example } from "../data/example.ts";
import { type BatchPlan, buildBatch } from "../data/batches.ts";
import { openGenerator, type TokenChooser } from "../generate/generator.ts";
import type { AdaptationMethod } from "../peft/method.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { type LoadedAdapter, newAdapter } from "../workbench/adapter.ts";
import type { OpenModel } from "../workbench/open-model.ts";
import { stopTokensOf } from "../workbench/open-tokenizer.ts";
import type { EpochPlan } from "./batch-source.ts";
import { createLearner, type GraphLearner, type LearnerOptions } from "./graph-learner.ts";
import type { Learner } from "./learner.ts";
import type { MemorySetting } from "./memory-forecast.ts";
import type { RunSubject, SamplePrompt } from "./run-subject.ts";

/** Row lengths are rounded up to a multiple of this, so that few shapes occur. */
export const BUCKET = 32;

type Described = Pick<
  RunSubject,
  | "loraParameters"
  | "train"
  | "validation"
  | "trainSummary"
  | "validationSummary"
  | "fingerprints"
  | "warnings"
  | "resultName"
  | "totalSteps"
  | "sampleSteps"
  | "prepare"
>;

export interface SubjectParts extends Described {
  readonly engine: Engine;
  readonly model: OpenModel;
  readonly tokenizer: Tokenizer;
  readonly method: AdaptationMethod;
  readonly seed: number;
  readonly memory: MemorySetting;
  /** How the learner learns. */
  readonly learning: Omit<LearnerOptions, "engine" | "model" | "adapter">;
  /** The prompts that are answered, with their tokens. */
  readonly questions: ReadonlyMap<SamplePrompt, readonly number[]>;
  /** One chooser per prompt; greedy where it is absent. */
  readonly choosers?: (prompts: number) => readonly TokenChooser[];
  /** Writes the result's folder. */
  readonly write: (folder: string, current: LoadedAdapter) => Promise<void>;
}

/** A subject of its parts; closing it closes the engine. */
export function graphSubject(parts: SubjectParts): RunSubject {
  const { engine, model, tokenizer, method, seed, learning, questions, choosers, write, ...described } = parts;
  let learner: GraphLearner | undefined;
  /** The method with the learner's tensors as they are now. */
  const current = async (): Promise<LoadedAdapter> => ({ method, tensors: (await learner!.save()).parameters });
  return {
    ...described,
    device: engine.device,
    threads: engine.threads,
    prompts: [...questions.keys()],
    async createLearner(): Promise<Learner> {
      learner = await createLearner({ engine, model, adapter: await newAdapter(method, model, seed), ...learning });
      return learner;
    },
    async answer(prompts, maxTokens) {
      const generator = await openGenerator(engine, model, await current());
      try {
        const asked = prompts.map((prompt) => questions.get(prompt)!);
        const stopTokens = stopTokensOf(model, tokenizer);
        const answers = await generator.generate(asked, { maxTokens, stopTokens, ...(choosers && { choosers: choosers(asked.length) }) });
        return answers.map((tokens) => tokenizer.decode(tokens, { skipSpecialTokens: true }).trim());
      } finally {
        await generator.close();
      }
    },
    writeResult: async (folder) => write(folder, await current()),
    async close() {
      await learner?.close();
      await engine.close();
    },
  };
}

/** The batches of plans over examples. */
export function batchesOf(examples: readonly Example[], plans: readonly BatchPlan[], padId: number): EpochPlan {
  return { length: plans.length, batch: (index) => buildBatch(examples, plans[index]!, padId) };
}

/** Scalars that a method trains. */
export function trainableOf(method: AdaptationMethod): number {
  const sizes = [...method.tensors.values()].map(({ shape, trained }) => (trained ? shape.reduce((a, b) => a * b, 1) : 0));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** The largest micro-batch of the first epoch, with the model's dimensions. */
export function memorySetting(
  options: { readonly recompute: boolean; readonly packWeights: boolean },
  model: OpenModel,
  method: AdaptationMethod,
  examples: readonly Example[],
  plans: readonly BatchPlan[],
): MemorySetting {
  const { architecture, parameterCount, weightBytes } = model;
  const trainable = trainableOf(method);
  const whole = method.name === "full";
  const labelled = examples.map(trainedOf);
  const labelsOf = (plan: BatchPlan): number => plan.rows.flat().reduce((sum, index) => sum + labelled[index]!, 0);
  const largest = plans.reduce((a, b) => (b.rows.length * b.length > a.rows.length * a.length ? b : a), plans[0] ?? { rows: [], length: 0 });
  return {
    layers: architecture.numHiddenLayers,
    width: architecture.hiddenSize,
    heads: architecture.numAttentionHeads,
    keyValueHeads: architecture.numKeyValueHeads,
    headWidth: architecture.headDim,
    feedForward: architecture.intermediateSize,
    vocabulary: architecture.vocabSize,
    totalParameters: parameterCount + (whole ? 0 : trainable),
    trainableParameters: trainable,
    weightBytes: weightBytes / parameterCount,
    rows: largest.rows.length,
    length: largest.length,
    labels: Math.max(0, ...plans.map(labelsOf)),
    recompute: options.recompute,
    packed: options.packWeights && !options.recompute && !whole && weightBytes === 4 * parameterCount,
  };
}

/** The subject of a run: a model on an engine, learning by a method's tensors, with its batches and prompts. */
import { trainedOf } from "../data/examples.ts";
import type { Example } from "../data/example.ts";
import { type BatchPlan, buildBatch, CONTROL_BUCKET } from "../data/batches.ts";
import { openGenerator, type TokenChooser } from "../generate/generator.ts";
import type { AdaptationMethod } from "../peft/method.ts";
import { USUAL_MACHINE } from "../plan/machine.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { type LoadedAdapter, newAdapter } from "../workbench/adapter.ts";
import { exportAdapter } from "../workbench/export-adapter.ts";
import type { OpenModel } from "../workbench/open-model.ts";
import { stopTokensOf } from "../workbench/open-tokenizer.ts";
import type { EpochPlan } from "./batch-source.ts";
import { createLearner, type GraphLearner, type LearnerOptions } from "./graph-learner.ts";
import type { Learner } from "./learner.ts";
import { planMemory } from "./memory-plan.ts";
import { type BatchSize, RunForecaster } from "./run-programs.ts";
import type { RunSubject, SamplePrompt } from "./run-subject.ts";

/** Row lengths are rounded up to a multiple of this, so that few shapes occur. */
export const BUCKET = 32;

type Described = Pick<
  RunSubject,
  "train" | "validation" | "trainSummary" | "validationSummary" | "fingerprints" | "warnings" | "resultName" | "totalSteps" | "sampleSteps" | "prepare"
>;

export interface SubjectParts extends Described {
  readonly engine: Engine;
  readonly model: OpenModel;
  readonly tokenizer: Tokenizer;
  readonly method: AdaptationMethod;
  readonly seed: number;
  /** Sizes that decide how much memory the run takes. */
  readonly sizes: {
    readonly batch: BatchSize;
    readonly validation?: BatchSize;
    readonly accumulation: number;
    /** Longest answer, in tokens. */
    readonly sampleTokens: number;
  };
  /** A method that trains less, with the words that choose it. */
  readonly lighter?: { readonly words: string; readonly method: () => AdaptationMethod };
  /** How the learner learns. */
  readonly learning: Omit<LearnerOptions, "engine" | "model" | "adapter"> & { readonly longestRow: number };
  /** The prompts that are answered, with their tokens. */
  readonly questions: ReadonlyMap<SamplePrompt, readonly number[]>;
  /** Tokens of the prompts' control texts, where the method reads them. */
  readonly controls?: ReadonlyMap<SamplePrompt, readonly number[]>;
  /** One chooser per prompt; greedy where it is absent. */
  readonly choosers?: (prompts: number) => readonly TokenChooser[];
  /** Writes the result's folder. */
  readonly write: (folder: string, current: LoadedAdapter) => Promise<void>;
}

/** A subject of its parts; closing it closes the engine. */
export function graphSubject(parts: SubjectParts): RunSubject {
  const { engine, model, tokenizer, method, seed, learning, questions, controls, choosers, write, sizes: _sizes, lighter: _lighter, ...described } = parts;
  let learner: GraphLearner | undefined;
  /** The method with the learner's tensors as they are now. */
  const current = async (): Promise<LoadedAdapter> => ({ method, tensors: (await learner!.save()).parameters });
  return {
    ...described,
    ...planOf(parts),
    device: learning.int8 === undefined ? engine.device : `${engine.device}, frozen layers in int8`,
    threads: engine.threads,
    prompts: [...questions.keys()],
    async createLearner(): Promise<Learner> {
      learner = await createLearner({ engine, model, adapter: await newAdapter(method, model, seed), ...learning });
      return learner;
    },
    async answer(prompts, maxTokens) {
      const generator = await openGenerator(engine, model, await exportAdapter(engine, await current()));
      try {
        const asked = prompts.map((prompt) => questions.get(prompt)!);
        const stopTokens = stopTokensOf(model, tokenizer);
        const answers = await generator.generate(asked, {
          maxTokens,
          stopTokens,
          ...(choosers && { choosers: choosers(asked.length) }),
          ...(controls && { controls: { tokens: prompts.map((prompt) => controls.get(prompt) ?? []), strength: 1 } }),
        });
        return answers.map((tokens) => tokenizer.decode(tokens, { skipSpecialTokens: true }).trim());
      } finally {
        await generator.close();
      }
    },
    writeResult: async (folder) => write(folder, await exportAdapter(engine, await current())),
    async close() {
      await learner?.close();
      await engine.close();
    },
  };
}

function planOf({ model, method, learning, questions, controls, sizes, lighter }: SubjectParts): Pick<RunSubject, "memory" | "updateShare"> {
  const { sampleTokens, ...batches } = sizes;
  const longestOf = (texts: ReadonlyMap<SamplePrompt, readonly number[]>): number =>
    [...texts.values()].reduce((most, tokens) => Math.max(most, tokens.length), 0);
  const promptTokens = Math.max(1, longestOf(questions));
  const forecaster = new RunForecaster(model.architecture, model.locate);
  const setting = {
    method,
    ...batches,
    longestRow: learning.longestRow,
    recompute: learning.recompute ?? false,
    packs: learning.packWeights ?? false,
    dropout: learning.dropout ?? false,
    fast: learning.int8 !== undefined,
    maxGradNorm: learning.maxGradNorm,
    ...(questions.size > 0 && {
      answers: {
        rows: questions.size,
        promptTokens: promptTokens + (method.virtualTokens ?? 0),
        newTokens: sampleTokens,
        controlTokens: longestOf(controls ?? new Map()),
      },
    }),
  };
  const { microStep, step } = forecaster.seconds(setting, USUAL_MACHINE);
  return { memory: planMemory(forecaster, setting, lighter), updateShare: step / (setting.accumulation * microStep) - 1 };
}

/** The batches of plans over examples; `controls` tells whose control texts are kept. */
export function batchesOf(examples: readonly Example[], plans: readonly BatchPlan[], padId: number, controls?: (index: number) => boolean): EpochPlan {
  return { length: plans.length, batch: (index) => buildBatch(examples, plans[index]!, padId, controls) };
}

/** The largest micro-batch among plans, and the most labelled positions in any of them. */
export function largestOf(examples: readonly Example[], plans: readonly BatchPlan[]): BatchSize {
  const labelled = examples.map(trainedOf);
  const labels = plans.map((plan) => plan.rows.flat().reduce((sum, index) => sum + labelled[index]!, 0));
  const largest = plans.reduce((a, b) => (b.rows.length * b.length > a.rows.length * a.length ? b : a), plans[0] ?? { rows: [], length: 0 });
  const controlsOf = (row: readonly number[]): number => row.reduce((sum, index) => sum + (examples[index]!.control?.length ?? 0), 0);
  const controls = plans.flatMap(({ rows }) => rows.map(controlsOf)).reduce((a, b) => Math.max(a, b), 0);
  return {
    rows: largest.rows.length,
    length: largest.length,
    labels: labels.reduce((a, b) => Math.max(a, b), 0),
    controls: Math.ceil(controls / CONTROL_BUCKET) * CONTROL_BUCKET,
  };
}

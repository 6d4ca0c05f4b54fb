/** A run that is only thought of: whether it fits into memory, how long it would take, and how far it could be stretched. */
import { GiantError } from "../base/errors.ts";
import { planEpoch } from "../data/batches.ts";
import { makeExamples } from "../data/examples.ts";
import { generationGraph } from "../generate/generation-graph.ts";
import { loadRecords } from "../io/records.ts";
import { emit } from "../onnx/emit.ts";
import { type InferenceCost, inferenceCost, WEIGHT_FORMATS } from "../plan/inference-cost.ts";
import type { WeightLocation } from "../onnx/emitter.ts";
import { NESTED_BLOCK_SIZE } from "../quantize/double-quantization.ts";
import type { MachineFigures } from "../plan/machine.ts";
import type { MemoryForecast } from "../plan/memory-parts.ts";
import type { ModelOutline } from "../workbench/model-outline.ts";
import { openTokenizer } from "../workbench/open-tokenizer.ts";
import { BUCKET } from "./graph-subject.ts";
import { plannedMethod, type RunSizes, settingOf } from "./run-setting.ts";
import type { MethodName } from "./methods/tuning-methods.ts";
import { RunForecaster, type RunSetting } from "./run-programs.ts";

/** What is asked for. */
export interface PlanRequest extends RunSizes {
  readonly method: MethodName;
  readonly rank: number;
}

/** A file of examples that would be trained on. */
export interface DataRequest {
  readonly file: string;
  readonly packing: boolean;
  readonly trainOn: "answers" | "all";
  readonly epochs: number;
}

export interface PlannedData {
  readonly file: string;
  readonly examples: number;
  readonly tokens: number;
  readonly labelledTokens: number;
  readonly steps: number;
  readonly seconds: number;
}

export interface RunPlan {
  readonly method: string;
  readonly trainableParameters: number;
  readonly memory: MemoryForecast;
  readonly fits: boolean;
  readonly secondsPerStep: number;
  readonly tokensPerSecond: number;
  /** The largest batch of this length, and the longest rows of this batch, that fit; 0 where not even one does. */
  readonly largestBatch: number;
  readonly largestLength: number;
}

/** One way of training beside others. */
export interface MethodRow {
  readonly name: string;
  readonly peakBytes: number;
  readonly fits: boolean;
  readonly tokensPerSecond: number;
}

const MOST_ROWS = 4096;

/** Bytes of a weight that need not be there. */
const NOWHERE = { location: "weights", offset: 0, bytes: 0 };

/** Four bits as `tune` makes them by default. */
const NF4 = { codes: NOWHERE, blockSize: 64, absmax: { codes: NOWHERE, nested: NOWHERE, nestedBlockSize: NESTED_BLOCK_SIZE, offset: 0 } };

/** Plans runs of one model on one machine. */
export class RunPlanner {
  readonly #outline: ModelOutline;
  readonly #machine: MachineFigures;
  readonly #availableBytes: number;
  readonly #stored: RunForecaster;
  /** Over the base in four bits. */
  readonly #packed: RunForecaster;
  readonly #methods: Map<string, RunSetting["method"]> = new Map();

  constructor(outline: ModelOutline, machine: MachineFigures, availableBytes: number) {
    this.#outline = outline;
    this.#machine = machine;
    this.#availableBytes = availableBytes;
    const location = (parameter: string): WeightLocation => ({ ...NOWHERE, storage: outline.storage(parameter) });
    const linears = new Set(outline.inventory.linears.map(({ path }) => `${path}.weight`));
    this.#stored = new RunForecaster(outline.architecture, location);
    this.#packed = new RunForecaster(outline.architecture, (parameter) =>
      linears.has(parameter) ? { ...location(parameter), nf4: NF4 } : location(parameter),
    );
  }

  run(request: PlanRequest): RunPlan {
    const setting = this.#setting(request);
    const memory = this.#memory(request);
    const { step, tokensPerSecond } = this.#forecaster(request).seconds(setting, this.#machine);
    const fits = (changes: Partial<PlanRequest>): boolean => this.#fits(this.#memory({ ...request, ...changes }));
    const longest = Math.floor(this.#outline.architecture.maxPositionEmbeddings / BUCKET);
    return {
      method: request.method,
      trainableParameters: [...setting.method.tensors.values()].reduce((sum, { shape, trained }) => sum + (trained ? shape.reduce((a, b) => a * b, 1) : 0), 0),
      memory,
      fits: this.#fits(memory),
      secondsPerStep: step,
      tokensPerSecond,
      largestBatch: largest(MOST_ROWS, (batchSize) => fits({ batchSize })),
      largestLength: BUCKET * largest(longest, (buckets) => fits({ maxLength: BUCKET * buckets })),
    };
  }

  /** The ways of training side by side, at the same sizes. */
  methods(request: PlanRequest, names: readonly MethodName[]): MethodRow[] {
    return names.flatMap((method) =>
      [false, true].map((recompute) => {
        const one = { ...request, method, recompute };
        const { peakBytes } = this.#memory(one);
        const { tokensPerSecond } = this.#forecaster(one).seconds(this.#setting(one), this.#machine);
        return { name: recompute ? `${method} + recompute` : method, peakBytes, fits: peakBytes <= this.#availableBytes, tokensPerSecond };
      }),
    );
  }

  /** How long a file of examples would take: its batches as `tune` would make them, each at its own length. */
  async data(request: PlanRequest, { file, packing, trainOn, epochs }: DataRequest): Promise<PlannedData> {
    const { model } = this.#outline;
    if (model === undefined) {
      throw new GiantError("usage", `--data ${file}: tokens are counted by the model's tokenizer, found only a config.json`, {
        hint: "Name the model's folder by --model.",
      });
    }
    const records = await loadRecords(file);
    const { examples, summary } = makeExamples(records.records, openTokenizer(model), { maxLength: request.maxLength, trainOn, longExamples: "truncate" });
    const plans = planEpoch(examples, { batchSize: request.batchSize, maxLength: request.maxLength, packing, bucket: BUCKET, seed: 0 }, 0);
    const { microStep, step } = this.#forecaster(request).seconds(this.#setting(request), this.#machine);
    const perToken = microStep / (request.batchSize * request.maxLength);
    const update = step - request.gradientAccumulation * microStep;
    const steps = Math.ceil((plans.length / request.gradientAccumulation) * epochs);
    const tokens = plans.reduce((sum, { rows, length }) => sum + rows.length * length, 0);
    return {
      file,
      examples: summary.kept,
      tokens: summary.tokens,
      labelledTokens: summary.trainedTokens,
      steps,
      seconds: epochs * tokens * perToken + steps * update,
    };
  }

  inference(context: number): InferenceCost[] {
    const { architecture, inventory } = this.#outline;
    const { outputs } = generationGraph(architecture);
    const stored = (storage: "F32" | "F16"): ReturnType<typeof emit> =>
      emit(outputs, { target: "cpu", weights: () => ({ location: "weights", offset: 0, bytes: 0, storage }) });
    const setting = { fp32: stored("F32"), fp16: stored("F16"), weights: inventory.parameters.values(), vocabulary: architecture.vocabSize, context };
    const weights = [...setting.weights];
    return WEIGHT_FORMATS.map((format) => inferenceCost({ ...setting, weights }, format, this.#machine));
  }

  #memory(request: PlanRequest): MemoryForecast {
    return this.#forecaster(request).memory(this.#setting(request));
  }

  #forecaster({ method }: PlanRequest): RunForecaster {
    return method === "qlora" ? this.#packed : this.#stored;
  }

  #fits({ peakBytes }: MemoryForecast): boolean {
    return peakBytes <= this.#availableBytes;
  }

  #setting(request: PlanRequest): RunSetting {
    const key = `${request.method} ${request.rank}`;
    let method = this.#methods.get(key);
    if (method === undefined) this.#methods.set(key, (method = plannedMethod(request.method, request.rank, this.#outline)));
    return settingOf(method, request);
  }
}

/** The largest number from 1 to `most` that fits, where all below it do too; 0 when none does. */
function largest(most: number, fits: (size: number) => boolean): number {
  let [low, high] = [0, 1];
  while (high <= most && fits(high)) [low, high] = [high, 2 * high];
  high = Math.min(high, most + 1);
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}

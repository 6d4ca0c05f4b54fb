/** The programs of a run as graphs, without opening anything: what forecasts of memory and time walk through. */
import type { Bindings } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { generationGraph } from "../generate/generation-graph.ts";
import type { Architecture } from "../models/architecture.ts";
import { queryBlocksFor } from "../nn/mask.ts";
import type { WeightLocation } from "../onnx/emitter.ts";
import { emit } from "../onnx/emit.ts";
import type { OnnxModel } from "../onnx/model.ts";
import { int8StorageOf } from "../peft/adapt.ts";
import type { AdaptationMethod } from "../peft/method.ts";
import { programMemory, type ProgramMemory } from "../plan/program-memory.ts";
import { programSeconds } from "../plan/program-time.ts";
import type { MachineFigures } from "../plan/machine.ts";
import type { MemoryForecast } from "../plan/memory-parts.ts";
import { runMemory } from "../plan/run-memory.ts";
import { programWork } from "../plan/work.ts";
import { accumulationGraph, ADAMW, gradientOf, lossGraph, stepGraph, type TrainedTensor, updateGraph } from "./step-graph.ts";

/** The sizes of a micro-batch. */
export interface BatchSize {
  readonly rows: number; // B
  readonly length: number; // T
  /** Labelled positions. */
  readonly labels: number;
  /** Places of the control texts beside each row; none by default. */
  readonly controls?: number; // U
}

/** Texts that are answered on the way. */
export interface AnswerSize {
  readonly rows: number;
  readonly promptTokens: number;
  readonly newTokens: number;
  /** Tokens of a control text; none by default. */
  readonly controlTokens?: number;
}

/** What decides how much a run needs. */
export interface RunSetting {
  readonly method: AdaptationMethod;
  readonly batch: BatchSize;
  /** The longest row that may come; it decides how attention is cut into blocks. */
  readonly longestRow: number;
  readonly recompute: boolean;
  /** Whether float32 and int8 weights are packed for the step. */
  readonly packs: boolean;
  readonly dropout: boolean;
  /** Whether frozen linear layers of the step are computed in int8. */
  readonly fast?: boolean;
  /** Micro-batches of an optimiser step. */
  readonly accumulation: number;
  readonly maxGradNorm: number;
  readonly validation?: BatchSize;
  readonly answers?: AnswerSize;
}

/** Seconds of the parts of an optimiser step. */
export interface StepSeconds {
  readonly microStep: number;
  readonly step: number;
  readonly tokensPerSecond: number;
}

/** Forecasts runs of one model; graphs are made once for all settings that share them. */
export class RunForecaster {
  readonly #architecture: Architecture;
  readonly #weights: (parameter: string) => WeightLocation;
  readonly #models: Map<string, OnnxModel> = new Map();
  readonly #walks: Map<OnnxModel, Map<string, ProgramMemory>> = new Map();
  readonly #methods: Map<AdaptationMethod, number> = new Map();

  /** @param weights where each frozen weight lies; its element type is all that counts. */
  constructor(architecture: Architecture, weights: (parameter: string) => WeightLocation) {
    this.#architecture = architecture;
    this.#weights = (parameter) => {
      const codes = int8StorageOf(parameter);
      return codes === undefined ? weights(parameter) : { location: "weights", offset: 0, bytes: 0, storage: codes };
    };
  }

  memory(setting: RunSetting): MemoryForecast {
    const { method, batch, validation, answers, recompute, accumulation } = setting;
    const { vocabSize: vocabulary } = this.#architecture;
    const trained = this.#trained(setting);
    const walk = (model: OnnxModel, size: BatchSize, packs = false): ProgramMemory => this.#walk(model, bindingsOf(size, setting.longestRow), packs);
    const sizes = [...method.tensors.values()].map(({ shape }) => bytesOf(shape));
    return runMemory({
      step: walk(this.#step(setting), batch, setting.packs && !recompute),
      update: walk(this.#update(setting), batch),
      ...(accumulation > 1 && {
        accumulation: walk(
          this.#model("accumulation", setting, () => accumulationGraph(trained)),
          batch,
        ),
      }),
      ...(validation && { evaluation: walk(this.#evaluation(setting), validation) }),
      ...(answers && { generation: this.#generation(setting, answers) }),
      trainableBytes: trained.reduce((sum, { shape }) => sum + bytesOf(shape), 0),
      microBatches: accumulation,
      methodBytes: sizes.reduce((sum, bytes) => sum + bytes, 0),
      vocabulary,
    });
  }

  seconds(setting: RunSetting, machine: MachineFigures): StepSeconds {
    const { batch, accumulation } = setting;
    const time = (model: OnnxModel): number => programSeconds(programWork(model, bindingsOf(batch, setting.longestRow)), machine);
    const microStep = time(this.#step(setting));
    const adding = accumulation > 1 ? time(this.#model("accumulation", setting, () => accumulationGraph(this.#trained(setting)))) : 0;
    const step = accumulation * microStep + (accumulation - 1) * adding + time(this.#update(setting));
    return { microStep, step, tokensPerSecond: (accumulation * batch.rows * batch.length) / step };
  }

  #step(setting: RunSetting): OnnxModel {
    const { recompute, dropout, fast = false } = setting;
    const queryBlocks = queryBlocksFor(setting.longestRow);
    return this.#model(`step ${recompute} ${dropout} ${fast} ${queryBlocks}`, setting, () =>
      stepGraph(this.#architecture, setting.method, { recompute, dropout, fast, queryBlocks }),
    );
  }

  #update(setting: RunSetting): OnnxModel {
    return this.#model(`update ${setting.maxGradNorm > 0}`, setting, () => updateGraph(this.#trained(setting), ADAMW, setting.maxGradNorm));
  }

  #evaluation(setting: RunSetting): OnnxModel {
    const queryBlocks = queryBlocksFor(setting.longestRow);
    return this.#model(`evaluation ${queryBlocks}`, setting, () => ({ lossSum: lossGraph(this.#architecture, setting.method, { queryBlocks }).lossSum }));
  }

  /** Memory of reading the prompts, and the cache as it is in the end. */
  #generation(setting: RunSetting, { rows, promptTokens, newTokens, controlTokens = 0 }: AnswerSize): ProgramMemory {
    const model = this.#model("generation", setting, () => generationGraph(this.#architecture, setting.method).outputs);
    const at = (sizes: Readonly<Record<string, number>>): ProgramMemory => this.#walk(model, new Map(Object.entries({ B: rows, N: rows, ...sizes })));
    const P = promptTokens + newTokens;
    return { ...at({ T: promptTokens, P: 0, U: controlTokens, E: 0 }), outputBytes: at({ T: 1, P, U: 0, E: P + controlTokens }).outputBytes };
  }

  /** Programs that a change of the setting leaves as they are need not be walked again. */
  #walk(model: OnnxModel, bindings: Bindings, packs = false): ProgramMemory {
    const walks = this.#walks.get(model) ?? new Map<string, ProgramMemory>();
    this.#walks.set(model, walks);
    const key = `${[...bindings].join(" ")} ${packs}`;
    let memory = walks.get(key);
    if (memory === undefined) walks.set(key, (memory = programMemory(model, { bindings, packs, vocabulary: this.#architecture.vocabSize })));
    return memory;
  }

  #trained(setting: RunSetting): TrainedTensor[] {
    const outputs = new Set(this.#step(setting).outputs.map(({ name }) => name));
    return [...setting.method.tensors].filter(([name]) => outputs.has(gradientOf(name))).map(([name, { shape }]) => ({ name, shape, decays: false }));
  }

  #model(name: string, { method }: RunSetting, graph: () => Record<string, Tensor>): OnnxModel {
    if (!this.#methods.has(method)) this.#methods.set(method, this.#methods.size);
    const key = `${this.#methods.get(method)} ${name}`;
    let model = this.#models.get(key);
    if (model === undefined) this.#models.set(key, (model = emit(graph(), { target: "cpu", weights: this.#weights })));
    return model;
  }
}

function bindingsOf({ rows, length, labels, controls = 0 }: BatchSize, longestRow: number): Map<string, number> {
  return new Map([
    ["B", rows],
    ["Q", Math.ceil(length / queryBlocksFor(longestRow))],
    ["N", labels],
    ["U", controls],
  ]);
}

function bytesOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, Float32Array.BYTES_PER_ELEMENT);
}

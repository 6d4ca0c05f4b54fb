/** The learner that runs step graphs on an engine; tensors, gradients and moments stay on the device. */
import { GiantError, invariant } from "../base/errors.ts";
import { type HostTensor, floats, integers } from "../core/dtype.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Batch } from "../data/batch.ts";
import { controlFeeds } from "../models/control-feeds.ts";
import { decoderFeeds, padToBlocks } from "../models/feeds.ts";
import { DROPOUT_ROWS, dropoutRows } from "../nn/dropout.ts";
import { QUERY_BLOCKS, queryBlocksFor } from "../nn/mask.ts";
import { emit } from "../onnx/emit.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import type { Engine, Fetch, Program, ProgramOptions, Resident } from "../runtime/engine.ts";
import type { LoadedAdapter } from "../workbench/adapter.ts";
import type { OpenModel } from "../workbench/open-model.ts";
import type { Int8Weights } from "../workbench/int8-weights.ts";
import { MAPPED_WEIGHTS } from "../workbench/session.ts";
import type { Learner, LearnerState } from "./learner.ts";
import { accumulationGraph, type AdamW, gradientOf, lossGraph, momentsOf, stepGraph, type TrainedTensor, updateGraph } from "./step-graph.ts";

export interface LearnerOptions {
  readonly engine: Engine;
  readonly model: OpenModel;
  /** The method and the tensors it starts from. */
  readonly adapter: LoadedAdapter;
  readonly optimizer: AdamW;
  /** Global L2 norm that gradients are clipped to; 0 = no clipping. */
  readonly maxGradNorm: number;
  /** Weight decay on all trained tensors, or on matrices only (as transformers' Trainer). */
  readonly decay?: "all" | "matrices";
  readonly recompute?: boolean;
  /** Packs the step's weights in private memory for speed; never together with `recompute`, which is for memory. */
  readonly packWeights?: boolean;
  /** The int8 form of the model: with it frozen linear layers of a step are computed in int8. */
  readonly int8?: Int8Weights;
  /** Whether the method drops anything; without it masks are not computed. */
  readonly dropout?: boolean;
  /** The longest row that will come, in tokens: it decides how attention is cut into blocks. */
  readonly longestRow?: number;
  readonly profilePrefix?: string;
}

export interface GraphLearner extends Learner {
  /** The gradients accumulated so far, by tensor name; what `update` would apply. */
  gradients(): Promise<Map<string, HostTensor>>;
}

/** Opens the step's programs and puts the trained tensors on the device. */
export async function createLearner(options: LearnerOptions): Promise<GraphLearner> {
  const { engine, model, adapter } = options;
  const { int8 } = options;
  const open = (graph: Record<string, Tensor>, more: ProgramOptions = {}): Promise<Program> =>
    engine.open(encodeModel(emit(graph, { target: engine.device, weights: more.weightsFolder === undefined ? model.locate : int8!.locate })), {
      weightsFolder: model.weightsFolder,
      sessionConfig: MAPPED_WEIGHTS,
      ...more,
    });
  const queryBlocks = options.longestRow === undefined ? QUERY_BLOCKS : queryBlocksFor(options.longestRow);
  const graph = stepGraph(model.architecture, adapter.method, {
    recompute: options.recompute ?? false,
    dropout: options.dropout ?? false,
    fast: int8 !== undefined,
    queryBlocks,
  });
  const trained: TrainedTensor[] = [...adapter.method.tensors]
    .filter(([name]) => gradientOf(name) in graph)
    .map(([name, { shape }]) => ({ name, shape, decays: options.decay === "all" || shape.length > 1 }));
  const step = await open(graph, {
    ...(int8 !== undefined && { weightsFolder: int8.weightsFolder }),
    ...(options.packWeights && !options.recompute && { sessionConfig: {} }),
    ...(options.profilePrefix !== undefined && { profilePrefix: options.profilePrefix }),
  });
  const learner = new EngineLearner(options, queryBlocks, trained, step, open);
  await learner.load({ parameters: adapter.tensors, firstMoments: new Map(), secondMoments: new Map(), updates: 0 });
  return learner;
}

class EngineLearner implements GraphLearner {
  readonly trainableParameters: number;
  readonly totalParameters: number;
  readonly #options: LearnerOptions;
  readonly #queryBlocks: number;
  readonly #trained: readonly TrainedTensor[];
  readonly #step: Program;
  readonly #open: (graph: Record<string, Tensor>) => Promise<Program>;
  readonly #opened: Map<string, Promise<Program>> = new Map();
  #tensors: Record<string, Resident> = {};
  #moments: Record<string, Resident> = {};
  #gradients: Record<string, Resident> | undefined;
  #updates = 0;

  constructor(
    options: LearnerOptions,
    queryBlocks: number,
    trained: readonly TrainedTensor[],
    step: Program,
    open: (graph: Record<string, Tensor>) => Promise<Program>,
  ) {
    this.#options = options;
    this.#queryBlocks = queryBlocks;
    this.#trained = trained;
    this.#step = step;
    this.#open = open;
    this.trainableParameters = trained.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const own = options.adapter.method.layout === undefined ? 0 : this.trainableParameters;
    this.totalParameters = options.model.parameterCount + own;
  }

  /** A program that is opened when it is first needed. */
  #program(name: string, graph: () => Record<string, Tensor>): Promise<Program> {
    let program = this.#opened.get(name);
    if (program === undefined) this.#opened.set(name, (program = this.#open(graph())));
    return program;
  }

  #feeds(program: Program, batch: Batch, extra: Readonly<Record<string, HostTensor | Resident>>): Record<string, HostTensor | Resident> {
    const padded = padToBlocks(batch, this.#queryBlocks);
    const { architecture } = this.#options.model;
    const { method } = this.#options.adapter;
    const all: Record<string, HostTensor | Resident> = {
      ...this.#tensors,
      ...decoderFeeds(architecture, padded, method.firstPosition),
      ...(method.controlLength !== undefined && controlFeeds(architecture, padded, batch.control)),
      labelRows: integers([padded.labelRows.length], padded.labelRows),
      labelIds: integers([padded.labelIds.length], padded.labelIds),
      ...extra,
    };
    return Object.fromEntries(program.inputNames.map((name) => [name, all[name]!]));
  }

  async accumulate(batch: Batch, scale: number, dropoutSeed: number): Promise<{ lossSum: number }> {
    if (batch.labelIds.length === 0) return { lossSum: 0 };
    await this.#closeEvaluation();
    const { engine } = this.#options;
    const rows = batch.rows * padToBlocks(batch, this.#queryBlocks).length;
    const feeds = this.#feeds(this.#step, batch, {
      scale: floats([], [scale]),
      ...(this.#step.inputNames.includes(DROPOUT_ROWS) && { [DROPOUT_ROWS]: floats([rows, 1], dropoutRows(rows, dropoutSeed)) }),
    });
    const fetches: Record<string, Fetch> = { lossSum: "host" };
    for (const { name } of this.#trained) fetches[gradientOf(name)] = "resident";
    const { lossSum, ...gradients } = await this.#step.run(feeds, fetches);
    if (this.#gradients === undefined) {
      this.#gradients = gradients as Record<string, Resident>;
    } else {
      const sums = this.#gradients;
      const add = await this.#program("accumulation", () => accumulationGraph(this.#trained));
      const inputs: Record<string, Resident> = { ...(gradients as Record<string, Resident>) };
      const outputs: Record<string, Fetch> = {};
      for (const { name } of this.#trained) {
        inputs[`sum.${name}`] = sums[gradientOf(name)]!;
        outputs[`next.${name}`] = sums[gradientOf(name)]!;
      }
      await add.run(inputs, outputs);
      await engine.release(...(Object.values(gradients) as Resident[]));
    }
    return { lossSum: (lossSum as HostTensor).data[0]! };
  }

  async gradients(): Promise<Map<string, HostTensor>> {
    const found = new Map<string, HostTensor>();
    for (const { name } of this.#trained) {
      const gradient = this.#gradients?.[gradientOf(name)];
      invariant(gradient !== undefined, "no gradients are accumulated");
      found.set(name, await this.#options.engine.download(gradient));
    }
    return found;
  }

  async update(learningRate: number): Promise<{ gradientNorm: number }> {
    invariant(this.#gradients !== undefined, "an update needs accumulated gradients");
    const { engine, optimizer, maxGradNorm } = this.#options;
    const t = ++this.#updates;
    const program = await this.#program("update", () => updateGraph(this.#trained, optimizer, maxGradNorm));
    const all: Record<string, HostTensor | Resident> = {
      ...this.#tensors,
      ...this.#moments,
      ...this.#gradients,
      decay: floats([], [1 - learningRate * optimizer.weightDecay]),
      stepSize: floats([], [learningRate / (1 - optimizer.beta1 ** t)]),
      rootCorrection: floats([], [Math.sqrt(1 - optimizer.beta2 ** t)]),
    };
    const fetches: Record<string, Fetch> = { norm: "host" };
    for (const { name } of this.#trained) {
      const [first, second] = momentsOf(name);
      fetches[`next.${name}`] = this.#tensors[name]!;
      for (const moment of [first, second]) fetches[`next.${moment}`] = this.#moments[moment]!;
    }
    const { norm } = await program.run(Object.fromEntries(program.inputNames.map((name) => [name, all[name]!])), fetches);
    await engine.release(...Object.values(this.#gradients));
    this.#gradients = undefined;
    return { gradientNorm: (norm as HostTensor).data[0]! };
  }

  async evaluate(batch: Batch): Promise<{ lossSum: number }> {
    if (batch.labelIds.length === 0) return { lossSum: 0 };
    const { model, adapter } = this.#options;
    const program = await this.#program("evaluation", () => ({
      lossSum: lossGraph(model.architecture, adapter.method, { queryBlocks: this.#queryBlocks }).lossSum,
    }));
    const { lossSum } = await program.run(this.#feeds(program, batch, {}), { lossSum: "host" });
    return { lossSum: (lossSum as HostTensor).data[0]! };
  }

  /** Between evaluations the memory of their program is worth more than the moment it takes to open it. */
  async #closeEvaluation(): Promise<void> {
    const program = this.#opened.get("evaluation");
    if (program === undefined) return;
    this.#opened.delete("evaluation");
    await (await program).close();
  }

  async findNotFinite(): ReturnType<Learner["findNotFinite"]> {
    const { engine, model } = this.#options;
    const broken = (data: ArrayLike<number>): boolean => Array.prototype.some.call(data, (value: number) => !Number.isFinite(value));
    // A damaged base spoils everything after it, so it is looked at first.
    for (const name of model.inventory.parameters.keys()) if (broken(await model.read(name))) return { kind: "base", name };
    for (const [name, resident] of Object.entries(this.#tensors)) if (broken((await engine.download(resident)).data)) return { kind: "trained", name };
    for (const [name, resident] of Object.entries(this.#gradients ?? {})) {
      if (broken((await engine.download(resident)).data)) return { kind: "gradient", name: name.slice(gradientOf("").length) };
    }
    return undefined;
  }

  async save(): Promise<LearnerState> {
    const { engine } = this.#options;
    const [parameters, firstMoments, secondMoments] = [new Map<string, HostTensor>(), new Map<string, HostTensor>(), new Map<string, HostTensor>()];
    for (const [name, resident] of Object.entries(this.#tensors)) parameters.set(name, await engine.download(resident));
    for (const { name } of this.#trained) {
      const [first, second] = momentsOf(name);
      firstMoments.set(name, await engine.download(this.#moments[first]!));
      secondMoments.set(name, await engine.download(this.#moments[second]!));
    }
    return { parameters, firstMoments, secondMoments, updates: this.#updates };
  }

  /** Absent moments start at zero. */
  async load(state: LearnerState): Promise<void> {
    const { engine } = this.#options;
    for (const { name, shape } of this.#trained) expectShape("tensor", name, shape, state.parameters.get(name));
    for (const [name, tensor] of [...state.firstMoments, ...state.secondMoments]) expectShape("moment", name, state.parameters.get(name)?.shape ?? [], tensor);
    await engine.release(...Object.values(this.#tensors), ...Object.values(this.#moments), ...Object.values(this.#gradients ?? {}));
    this.#gradients = undefined;
    this.#tensors = {};
    this.#moments = {};
    for (const [name, tensor] of state.parameters) this.#tensors[name] = await engine.upload(tensor);
    for (const { name, shape } of this.#trained) {
      const zeros = (): HostTensor => floats(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
      const [first, second] = momentsOf(name);
      this.#moments[first] = await engine.upload(state.firstMoments.get(name) ?? zeros());
      this.#moments[second] = await engine.upload(state.secondMoments.get(name) ?? zeros());
    }
    this.#updates = state.updates;
  }

  async close(): Promise<void> {
    const { engine } = this.#options;
    await engine.release(...Object.values(this.#tensors), ...Object.values(this.#moments), ...Object.values(this.#gradients ?? {}));
    await this.#step.close();
    for (const program of this.#opened.values()) await (await program).close();
  }
}

/** A state that was saved under another recipe must not be gone on with. */
function expectShape(what: string, name: string, needed: readonly number[], found: HostTensor | undefined): void {
  if (found !== undefined && found.shape.join() === needed.join()) return;
  throw new GiantError(
    "format",
    `the saved ${what} ${name} ${found === undefined ? "is missing" : `has shape [${found.shape.join(", ")}]`}, this run needs [${needed.join(", ")}]`,
    {
      hint: "The checkpoint is of another run, or the recipe was changed since: restore it, or start a new run in another --output.",
    },
  );
}

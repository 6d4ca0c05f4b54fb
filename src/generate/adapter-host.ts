/**
 * One base with any number of adapters: requests name the adapters that speak, and the base stays open.
 *
 * Programs are opened per graph, found by their bytes: adapters of the same targets, ranks and scales share one and differ in
 * what is fed. Weights of a sum are fed too. An adapter's tensors lie on the device once, whoever uses them.
 */
import { createHash } from "node:crypto";
import { GiantError, invariant } from "../base/errors.ts";
import type { HostTensor } from "../core/dtype.ts";
import { emit } from "../onnx/emit.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import type { AdaptationMethod } from "../peft/method.ts";
import { partTensor, partWeight, sumOf } from "../peft/sum.ts";
import type { Engine, Program, Resident } from "../runtime/engine.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import type { LoadedAdapter } from "../workbench/adapter.ts";
import { weightTensor } from "../workbench/adapter-sum.ts";
import { loadAdapter } from "../workbench/load-adapter.ts";
import type { OpenModel } from "../workbench/open-model.ts";
import { MAPPED_WEIGHTS } from "../workbench/session.ts";
import { generationGraph } from "./generation-graph.ts";
import { generatorOn, ownPlaces } from "./generator.ts";
import { type WriteOptions, type Writer, writerOn, type Written } from "./writer.ts";

export interface SelectedAdapter {
  readonly name: string;
  /** Factor of its terms, 1 by default. */
  readonly weight?: number;
}

/** Who speaks: nobody (the bare base), one adapter, or several that are summed. */
export type AdapterSelection = readonly SelectedAdapter[];

/** Without those of weight 0: their terms are zero, so they may be of any method. */
export function selectionOf(adapters: AdapterSelection): AdapterSelection {
  return adapters.filter(({ weight = 1 }) => weight !== 0);
}

/** An adapter on the device; it stays there until it is unloaded and nobody writes with it any more. */
interface HostedAdapter {
  readonly name: string;
  readonly method: AdaptationMethod;
  readonly residents: ReadonlyMap<string, Resident>;
  unloaded: boolean;
  writers: number;
}

interface HostedProgram {
  readonly program: Program;
  readonly presentNames: readonly string[];
  readonly leafNames: readonly string[];
  /** Selections that need it and can still be asked for. */
  readonly selections: Set<string>;
  writers: number;
}

export class AdapterHost {
  readonly #engine: Engine;
  readonly #model: OpenModel;
  readonly #tokenizer: Tokenizer;
  readonly #adapters: Map<string, HostedAdapter> = new Map();
  /** Names that are taken by adapters on their way to the device. */
  readonly #arriving: Set<string> = new Set();
  /** By the hash of the graph's bytes. */
  readonly #programs: Map<string, Promise<HostedProgram>> = new Map();
  /** Hash and adapters by selection, so that a graph is not built again for each request. */
  readonly #selections: Map<string, { readonly hash: string; readonly adapters: readonly HostedAdapter[] }> = new Map();

  constructor(engine: Engine, model: OpenModel, tokenizer: Tokenizer) {
    this.#engine = engine;
    this.#model = model;
    this.#tokenizer = tokenizer;
  }

  /** Names of the adapters that are loaded, in the order of loading. */
  get names(): string[] {
    return [...this.#adapters.keys()];
  }

  /** How many programs are open: one for each graph that was needed. */
  get programCount(): number {
    return this.#programs.size;
  }

  /** The method of a loaded adapter. */
  methodOf(name: string): string {
    return this.#adapter(name).method.name;
  }

  /**
   * Loads an adapter's folder under a name.
   * @throws GiantError for a name that is taken, or an adapter that does not fit the base.
   */
  async load(name: string, folder: string): Promise<void> {
    this.#refuseTaken(name);
    await this.add(name, await loadAdapter(folder, this.#model));
  }

  /** Takes an adapter that is in memory already. */
  async add(name: string, adapter: LoadedAdapter): Promise<void> {
    this.#refuseTaken(name);
    const { method, tensors } = adapter;
    const residents = new Map<string, Resident>();
    this.#arriving.add(name);
    try {
      // Some tensors of a file are no part of any graph, such as an embedding that lies beside its own update.
      const used = generationGraph(this.#model.architecture, method).leaves;
      for (const tensor of used.keys()) residents.set(tensor, await this.#engine.upload(tensors.get(tensor)!));
      this.#adapters.set(name, { name, method, residents, unloaded: false, writers: 0 });
    } catch (error) {
      await this.#engine.release(...residents.values());
      throw error;
    } finally {
      this.#arriving.delete(name);
    }
  }

  /** Forgets an adapter; its memory is free at once, or as soon as the last writer that uses it is closed. */
  async unload(name: string): Promise<void> {
    const hosted = this.#adapter(name);
    hosted.unloaded = true;
    this.#adapters.delete(name);
    for (const [key, { hash, adapters }] of this.#selections) {
      if (!adapters.includes(hosted)) continue;
      this.#selections.delete(key);
      const open = await this.#programs.get(hash);
      open?.selections.delete(key);
      await this.#closeUnused(hash);
    }
    await this.#freeUnused(hosted);
  }

  /**
   * A writer for one conversation: its cache is its own and belongs to this selection alone.
   * @throws GiantError for an unknown name, or adapters that cannot be weighted or summed.
   */
  async writer(selection: AdapterSelection = []): Promise<Writer> {
    const adapters = selection.map(({ name }) => this.#adapter(name));
    const weights = selection.map(({ weight = 1 }) => weight);
    const wrong = weights.findIndex((weight) => !Number.isFinite(weight));
    if (wrong >= 0) throw new GiantError("usage", `weight of ${adapters[wrong]!.name}: ${weights[wrong]} is no number`);
    const twice = adapters.find((adapter, i) => adapters.indexOf(adapter) < i);
    if (twice !== undefined) throw new GiantError("usage", `${twice.name} is named twice`, { hint: "Name it once, with the sum of its weights." });
    const summed = adapters.length > 1 || weights.some((weight) => weight !== 1);
    for (const adapter of adapters) adapter.writers++;
    let hash: string | undefined;
    let given = false;
    const giveBack = async (): Promise<void> => {
      if (given) return;
      given = true;
      for (const adapter of adapters) adapter.writers--;
      for (const adapter of adapters) await this.#freeUnused(adapter);
      if (hash === undefined) return;
      (await this.#programs.get(hash)!).writers--;
      await this.#closeUnused(hash);
    };
    try {
      const opened = await this.#open(adapters, summed);
      hash = opened.hash;
      const { program, presentNames, leafNames } = opened.hosted;
      const feeds = new Map<string, Resident | HostTensor>();
      for (const [i, { residents }] of adapters.entries()) {
        for (const [name, resident] of residents) feeds.set(summed ? partTensor(i, name) : name, resident);
        if (summed) feeds.set(partWeight(i), weightTensor(weights[i]!));
      }
      const own = summed ? undefined : adapters[0]?.method;
      const on = {
        engine: this.#engine,
        program,
        architecture: this.#model.architecture,
        presentNames,
        adapterFeeds: Object.fromEntries(leafNames.map((name) => [name, feeds.get(name)!])),
        // What is summed takes no places: it is LoRA.
        ...ownPlaces(own, this.#model.architecture.vocabSize),
      };
      return writerOn(generatorOn(on, giveBack), this.#model, this.#tokenizer, own);
    } catch (error) {
      await giveBack();
      throw error;
    }
  }

  /** Writes once with the adapters that are named; nothing of the text is kept. */
  async write(prompt: readonly number[], options: WriteOptions & { readonly adapters?: AdapterSelection }): Promise<Written> {
    const writer = await this.writer(options.adapters);
    try {
      return await writer.write(prompt, options);
    } finally {
      await writer.close();
    }
  }

  /** Closes the programs and frees the adapters; writers that are still open are of no more use. */
  async close(): Promise<void> {
    for (const name of this.names) await this.unload(name);
    for (const program of this.#programs.values()) await (await program).program.close();
    this.#programs.clear();
    this.#selections.clear();
  }

  #refuseTaken(name: string): void {
    if (!this.#adapters.has(name) && !this.#arriving.has(name)) return;
    throw new GiantError("usage", `an adapter named ${name} is loaded already`, { hint: "Unload it first, or name another." });
  }

  #adapter(name: string): HostedAdapter {
    const known = this.#adapters.get(name);
    if (known !== undefined) return known;
    throw new GiantError("usage", `no adapter named ${name} is loaded`, {
      hint: this.#adapters.size === 0 ? "Load it first." : `Loaded are ${this.names.join(", ")}.`,
    });
  }

  /** The program of a selection, counted as used by one more writer. */
  async #open(adapters: readonly HostedAdapter[], summed: boolean): Promise<{ readonly hash: string; readonly hosted: HostedProgram }> {
    const key = JSON.stringify([summed, ...adapters.map(({ name }) => name)]);
    const known = this.#selections.get(key);
    const found = known === undefined ? undefined : this.#programs.get(known.hash);
    if (known !== undefined && found !== undefined) {
      const hosted = await found;
      hosted.writers++;
      return { hash: known.hash, hosted };
    }
    const method: AdaptationMethod | undefined = summed ? sumOf(adapters) : adapters[0]?.method;
    const { outputs, presentNames, leaves } = generationGraph(this.#model.architecture, method);
    const bytes = encodeModel(emit(outputs, { target: this.#engine.device, weights: this.#model.locate }));
    const hash = createHash("sha256").update(bytes).digest("hex");
    let program = this.#programs.get(hash);
    if (program === undefined) {
      program = this.#engine
        .open(bytes, { weightsFolder: this.#model.weightsFolder, sessionConfig: MAPPED_WEIGHTS })
        .then((opened) => ({ program: opened, presentNames, leafNames: [...leaves.keys()], selections: new Set<string>(), writers: 0 }));
      this.#programs.set(hash, program);
      program.catch(() => this.#programs.delete(hash));
    }
    const hosted = await program;
    hosted.writers++;
    if (adapters.every(({ unloaded }) => !unloaded)) {
      hosted.selections.add(key);
      this.#selections.set(key, { hash, adapters });
    }
    return { hash, hosted };
  }

  async #closeUnused(hash: string): Promise<void> {
    const hosted = await this.#programs.get(hash);
    if (hosted === undefined || hosted.writers > 0 || hosted.selections.size > 0) return;
    this.#programs.delete(hash);
    await hosted.program.close();
  }

  async #freeUnused({ unloaded, writers, residents }: HostedAdapter): Promise<void> {
    invariant(writers >= 0, "an adapter was given back twice");
    if (unloaded && writers === 0) await this.#engine.release(...residents.values());
  }
}

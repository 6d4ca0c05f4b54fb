/** A conversation with a model: its turns, its template, and the adapters that speak. */
import { GiantError } from "../base/errors.ts";
import { resolveOptions } from "../base/options.ts";
import { encodeQuestion } from "../data/example.ts";
import type { Message } from "../data/record.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { readAdapterChoice, readAdapterChoices } from "../workbench/adapter-choice.ts";
import { openModel } from "../workbench/open-model.ts";
import { openTokenizer } from "../workbench/open-tokenizer.ts";
import { AdapterHost, type AdapterSelection, selectionOf } from "./adapter-host.ts";
import { CHAT_OPTIONS, type ChatOptions } from "./generate-options.ts";
import type { Writer, Written } from "./writer.ts";

export class Conversation {
  readonly #options: ChatOptions;
  readonly #engine: Engine;
  readonly #tokenizer: Tokenizer;
  readonly #host: AdapterHost;
  /** Folders of the loaded adapters by name. */
  readonly #folders: Map<string, string> = new Map();
  #selection: AdapterSelection = [];
  #writer: Writer;
  #control: string | undefined;
  #controlStrength: number;
  #messages: Message[] = [];

  private constructor(options: ChatOptions, engine: Engine, tokenizer: Tokenizer, host: AdapterHost, writer: Writer) {
    this.#options = options;
    this.#engine = engine;
    this.#tokenizer = tokenizer;
    this.#host = host;
    this.#writer = writer;
    this.#control = options.control;
    this.#controlStrength = options.controlStrength;
    this.reset();
  }

  /** Opens the model, and the adapters that are named; options that are left out are those of `mini-giants chat`. */
  static async open(given: Partial<ChatOptions> & Pick<ChatOptions, "model">): Promise<Conversation> {
    const options = resolveOptions(CHAT_OPTIONS, given);
    readAdapterChoices(options.adapter);
    const model = await openModel(options.model);
    const tokenizer = openTokenizer(model);
    const engine = await startEngine({ device: options.device, ...(options.threads === undefined ? {} : { threads: options.threads }) });
    try {
      const host = new AdapterHost(engine, model, tokenizer);
      const conversation = new Conversation(options, engine, tokenizer, host, await host.writer());
      await conversation.useAdapters(options.adapter);
      return conversation;
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  /** The adapters that speak, and their weights; none is the bare base. */
  get speaking(): AdapterSelection {
    return this.#selection;
  }

  /** All adapters that are loaded. */
  get adapters(): readonly { readonly name: string; readonly folder: string; readonly method: string }[] {
    return [...this.#folders].map(([name, folder]) => ({ name, folder, method: this.#host.methodOf(name) }));
  }

  /**
   * Lets adapters speak from now on, or with none the bare base; the conversation stays, and what was said is read again by
   * those who speak next. Each is the name of a loaded adapter or a folder, which is loaded, with `=WEIGHT` behind it or not.
   */
  async useAdapters(choices: readonly string[]): Promise<void> {
    const known = this.adapters.map(({ name }) => name);
    try {
      const chosen: { name: string; weight: number }[] = [];
      for (const { folder, weight } of readAdapterChoices(choices, "adapter")) chosen.push({ name: await this.#named(folder), weight });
      const selection = selectionOf(chosen);
      const writer = await this.#host.writer(selection);
      await this.#writer.close();
      this.#writer = writer;
      this.#selection = selection;
    } catch (error) {
      // What was loaded for a choice that cannot be is not kept.
      for (const { name } of this.adapters) if (!known.includes(name)) await this.unload(name);
      throw error;
    }
  }

  /** Forgets a loaded adapter; where it spoke, the bare base does. */
  async unload(name: string): Promise<void> {
    const { folder } = readAdapterChoice(name, "adapter");
    await this.#host.unload(folder);
    this.#folders.delete(folder);
    if (this.#selection.some((adapter) => adapter.name === folder)) await this.useAdapters([]);
  }

  /** The name of a loaded adapter that is named by it or by its folder; loads the folder otherwise. */
  async #named(text: string): Promise<string> {
    const loaded = this.#folders.has(text) ? text : [...this.#folders].find(([, folder]) => folder === text)?.[0];
    if (loaded !== undefined) return loaded;
    // A run's folder says more than "adapter", the folder in it.
    const parts = text.split(/[/\\]/).filter((part) => part !== "" && part !== ".");
    const short = (parts.at(-1) === "adapter" ? parts.at(-2) : undefined) ?? parts.at(-1) ?? text;
    const name = this.#folders.has(short) || short.includes("=") || /\s/.test(short) ? text : short;
    await this.#host.load(name, text);
    this.#folders.set(name, text);
    return name;
  }

  /** The text that steers the answers, if any. */
  get control(): string | undefined {
    return this.#control;
  }

  /** How strongly it does. */
  get controlStrength(): number {
    return this.#controlStrength;
  }

  /** Steers the answers from now on, where a control branch speaks; the conversation stays. */
  steer(control: string | undefined, strength: number = this.#controlStrength): void {
    if (!Number.isFinite(strength) || strength < 0) throw new GiantError("usage", `a control's strength is ${strength}, needed a number from 0`);
    this.#control = control;
    this.#controlStrength = strength;
  }

  /** Forgets everything that was said. */
  reset(): void {
    this.#messages = this.#options.system === undefined ? [] : [{ role: "system", content: this.#options.system }];
  }

  /** Says something and hears the answer, piece by piece; what was said is forgotten again when no answer comes. */
  async say(text: string, onText: (piece: string) => void = () => undefined, signal?: AbortSignal): Promise<Written> {
    const messages: Message[] = [...this.#messages, { role: "user", content: text }];
    // A model without a template is asked in the way in which tuning shows it conversations.
    const tokens = encodeQuestion({ kind: "messages", messages }, this.#tokenizer);
    const written = await this.#writer.write(tokens, {
      ...this.#options,
      control: this.#control ?? "",
      controlStrength: this.#controlStrength,
      onText,
      ...(signal ? { signal } : {}),
    });
    this.#messages = [...messages, { role: "assistant", content: written.text }];
    return written;
  }

  async close(): Promise<void> {
    await this.#writer.close();
    await this.#host.close();
    await this.#engine.close();
  }
}

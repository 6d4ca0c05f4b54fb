/** A conversation with a model: its turns, its template, and the adapter that speaks. */
import { GiantError } from "../base/errors.ts";
import { resolveOptions } from "../base/options.ts";
import { encodeQuestion } from "../data/example.ts";
import type { Message } from "../data/record.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { loadAdapter } from "../workbench/load-adapter.ts";
import { openModel, type OpenModel } from "../workbench/open-model.ts";
import { openTokenizer } from "../workbench/open-tokenizer.ts";
import { CHAT_OPTIONS, type ChatOptions } from "./generate-options.ts";
import { openWriter, type Writer, type Written } from "./writer.ts";

export class Conversation {
  readonly #options: ChatOptions;
  readonly #engine: Engine;
  readonly #model: OpenModel;
  readonly #tokenizer: Tokenizer;
  /** Writers by adapter folder, "" for the bare base: all read the same mapped weights. */
  readonly #writers: Map<string, Writer> = new Map();
  #adapter = "";
  #control: string | undefined;
  #controlStrength: number;
  #messages: Message[] = [];

  private constructor(options: ChatOptions, engine: Engine, model: OpenModel, tokenizer: Tokenizer) {
    this.#options = options;
    this.#engine = engine;
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#control = options.control;
    this.#controlStrength = options.controlStrength;
    this.reset();
  }

  /** Opens the model, and the adapter when one is named; options that are left out are those of `mini-giants chat`. */
  static async open(given: Partial<ChatOptions> & Pick<ChatOptions, "model">): Promise<Conversation> {
    const options = resolveOptions(CHAT_OPTIONS, given);
    const model = await openModel(options.model);
    const tokenizer = openTokenizer(model);
    const engine = await startEngine({ device: options.device, ...(options.threads === undefined ? {} : { threads: options.threads }) });
    const conversation = new Conversation(options, engine, model, tokenizer);
    try {
      await conversation.useAdapter(options.adapter);
    } catch (error) {
      await conversation.close();
      throw error;
    }
    return conversation;
  }

  /** The folder of the adapter that speaks, if any. */
  get adapter(): string | undefined {
    return this.#adapter === "" ? undefined : this.#adapter;
  }

  /** Lets an adapter speak from now on, or the bare base; the conversation stays. */
  async useAdapter(folder: string | undefined): Promise<void> {
    const name = folder ?? "";
    if (!this.#writers.has(name)) {
      const adapter = folder === undefined ? undefined : await loadAdapter(folder, this.#model);
      this.#writers.set(name, await openWriter(this.#engine, this.#model, this.#tokenizer, adapter));
    }
    this.#adapter = name;
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
    const written = await this.#writers.get(this.#adapter)!.write(tokens, {
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
    for (const writer of this.#writers.values()) await writer.close();
    await this.#engine.close();
  }
}

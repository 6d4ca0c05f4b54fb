/** The folder of a run: its recipe, its events, TensorBoard's and the Trainer's view of them, and its checkpoints. */
import { join } from "node:path";
import { GiantError } from "../base/errors.ts";
import { openLineAppender, writeFileAtomic, type LineAppender } from "../io/atomic.ts";
import { appendBytes, kindOf, listFolder, readText } from "../io/folder.ts";
import { stepOf, type RecordedEvent, type TrainEvent } from "./events.ts";
import type { LoopState } from "./loop-state.ts";
import { encodeScalars, fileHeader } from "./tensorboard.ts";

/** The options a run was begun with. */
export const RECIPE = "recipe.yaml";
/** Folder of a run's checkpoints. */
export const CHECKPOINTS = "checkpoints";
const EVENTS = "events.jsonl";
const BOARD = join("tensorboard", "events.out.tfevents.mini-giants");

export class RunFolder {
  readonly path: string;
  #events: RecordedEvent[] = [];
  #lines: LineAppender | undefined;

  private constructor(path: string) {
    this.path = path;
  }

  /** Where checkpoints, the result and the reports lie. */
  get checkpoints(): string {
    return join(this.path, CHECKPOINTS);
  }

  /** What happened so far, oldest first. */
  get events(): readonly RecordedEvent[] {
    return this.#events;
  }

  /** Begins a run in a new or empty folder. */
  static async create(path: string, recipe: string): Promise<RunFolder> {
    await RunFolder.assertFree(path);
    await writeFileAtomic(join(path, RECIPE), recipe);
    const folder = new RunFolder(path);
    await folder.#rewrite([]);
    return folder;
  }

  /** Refuses a path that holds something already, so that no result is lost. */
  static async assertFree(path: string): Promise<void> {
    if ((await kindOf(path)) === "file") throw new GiantError("usage", `${path}: found a file, needed a folder for the run`);
    const present = await listFolder(path);
    if (present.length > 0) {
      const isRun = present.includes(RECIPE);
      throw new GiantError("usage", `${path}: found ${isRun ? "a run" : "other files"}, needed a new or empty folder`, {
        hint: isRun ? "Go on with it by --resume, or name another --output." : "Name another --output.",
      });
    }
  }

  /** Opens the folder of an earlier run to go on with it. */
  static async open(path: string): Promise<RunFolder> {
    if ((await kindOf(join(path, RECIPE))) !== "file") {
      throw new GiantError("usage", `${path}: found no ${RECIPE}, needed the folder of an earlier run`, { hint: "Start a new run without --resume." });
    }
    const folder = new RunFolder(path);
    const file = join(path, EVENTS);
    if ((await kindOf(file)) === "file") folder.#events = parseEvents(await readText(file), file);
    return folder;
  }

  /** The text of the recipe the run was begun with. */
  async recipe(): Promise<string> {
    return await readText(join(this.path, RECIPE));
  }

  /** Forgets everything after a checkpoint (null: everything), in the events and in what is derived from them. */
  async rewindTo(state: LoopState | null): Promise<void> {
    await this.#rewrite(state === null ? [] : this.#events.filter((event) => happenedBefore(event, state)));
  }

  /** Adds an event with its time (seconds, Unix). */
  async record(event: TrainEvent, time: number): Promise<void> {
    const recorded: RecordedEvent = { ...event, time };
    this.#events.push(recorded);
    this.#lines ??= await openLineAppender(join(this.path, EVENTS));
    await this.#lines.append(JSON.stringify(recorded));
    if (event.type === "checkpoint" || event.type === "finished") await this.#lines.flush();
    const scalars = encodeScalars(recorded);
    if (scalars.length > 0) await appendBytes(join(this.path, BOARD), scalars);
  }

  /** The text of a file of the run, or undefined when it is absent. */
  async read(name: string): Promise<string | undefined> {
    const path = join(this.path, name);
    return (await kindOf(path)) === "file" ? await readText(path) : undefined;
  }

  /** Writes a file of the run (`report.json`, …) at once or not at all; returns its path. */
  async write(name: string, text: string): Promise<string> {
    const path = join(this.path, name);
    await writeFileAtomic(path, text);
    return path;
  }

  async close(): Promise<void> {
    await this.#lines?.close();
    this.#lines = undefined;
  }

  async #rewrite(events: RecordedEvent[]): Promise<void> {
    await this.close();
    this.#events = events;
    await writeFileAtomic(join(this.path, EVENTS), events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    const began = events[0]?.time ?? 0;
    await writeFileAtomic(join(this.path, BOARD), concatenate([fileHeader(began), ...events.map(encodeScalars)]));
  }
}

/** Whether an event belongs to the past of a checkpoint: what ends a run does not, nor an evaluation that it does not know of. */
function happenedBefore(event: TrainEvent, state: LoopState): boolean {
  if (event.type === "stopped" || event.type === "finished") return false;
  if (event.type === "samples" && event.when === "after") return false;
  return stepOf(event) <= (event.type === "evaluation" ? state.evaluatedStep : state.step);
}

function parseEvents(text: string, path: string): RecordedEvent[] {
  const lines = text.split("\n");
  lines.pop(); // What follows the last newline is empty, or a line that a killed process left unfinished.
  return lines.map((line, i) => {
    try {
      return JSON.parse(line) as RecordedEvent;
    } catch (cause) {
      throw new GiantError("format", `${path}:${i + 1}: found broken JSON, needed an event`, { cause });
    }
  });
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

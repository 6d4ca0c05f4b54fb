/** Checkpoints as folders: the learner's tensors in safetensors files, and the loop's state as JSON. */
import { join } from "node:path";
import { GiantError } from "../base/errors.ts";
import { floats, type HostTensor } from "../core/dtype.ts";
import { replaceFolderAtomic, writeFileAtomic } from "../io/atomic.ts";
import { listFolder, readText, removeFolder } from "../io/folder.ts";
import { readSafetensorsHeader, readTensor } from "../io/safetensors.ts";
import { writeSafetensors, type TensorToWrite } from "../io/safetensors-writer.ts";
import type { LearnerState } from "./learner.ts";
import type { CheckpointStore, LoopState } from "./loop-state.ts";

const VERSION = 1;
/** The trained tensors of a checkpoint, by their own names. */
export const PARAMETERS = "parameters.safetensors";
const MOMENTS = "moments.safetensors";
const STATE = "state.json";

export interface Checkpoint {
  readonly folder: string;
  readonly state: LoopState;
  readonly learner: LearnerState;
}

/** The folder name of the checkpoint after `step` updates: `step-000123`. */
export function checkpointName(step: number): string {
  return `step-${String(step).padStart(6, "0")}`;
}

/**
 * Keeps the checkpoints of one run under `folder`: the last `keepLast` (0: all) and the best one.
 * Each is written beside and renamed when complete, so that a folder named `step-…` is always whole.
 */
export function folderStore(folder: string, keepLast: number): CheckpointStore {
  return {
    async save(state, learner) {
      const name = checkpointName(state.step);
      await replaceFolderAtomic(join(folder, name), (temporary) => writeCheckpoint(temporary, state, learner));
      const steps = await listCheckpoints(folder);
      const kept = new Set(keepLast > 0 ? steps.slice(-keepLast) : steps).add(state.step);
      if (state.best) kept.add(state.best.step);
      for (const step of steps) if (!kept.has(step)) await removeFolder(join(folder, checkpointName(step)));
      return name;
    },
  };
}

/** The steps of the complete checkpoints under a folder, ascending. */
export async function listCheckpoints(folder: string): Promise<number[]> {
  const names = await listFolder(folder);
  return names.flatMap((name) => (/^step-\d{6,}$/.test(name) ? [Number(name.slice(5))] : [])).toSorted((a, b) => a - b);
}

/** Reads the checkpoint of a step; GiantError("format") names what is damaged. */
export async function readCheckpoint(folder: string, step: number): Promise<Checkpoint> {
  const path = join(folder, checkpointName(step));
  const stateFile = join(path, STATE);
  const stored = parseState(await readText(stateFile), stateFile);
  const parameters = await readTensors(join(path, PARAMETERS), "");
  const firstMoments = await readTensors(join(path, MOMENTS), "first.");
  const secondMoments = await readTensors(join(path, MOMENTS), "second.");
  return { folder: path, state: stored.loop, learner: { parameters, firstMoments, secondMoments, updates: stored.updates } };
}

async function writeCheckpoint(folder: string, state: LoopState, learner: LearnerState): Promise<void> {
  await writeSafetensors(join(folder, PARAMETERS), tensorsOf("", learner.parameters));
  await writeSafetensors(join(folder, MOMENTS), [...tensorsOf("first.", learner.firstMoments), ...tensorsOf("second.", learner.secondMoments)]);
  await writeFileAtomic(join(folder, STATE), `${JSON.stringify({ version: VERSION, updates: learner.updates, loop: state }, null, 2)}\n`);
}

function tensorsOf(prefix: string, tensors: ReadonlyMap<string, HostTensor>): TensorToWrite[] {
  return [...tensors].map(([name, tensor]) => ({ name: prefix + name, dtype: "F32", shape: tensor.shape, data: tensor.data as Float32Array }));
}

async function readTensors(path: string, prefix: string): Promise<Map<string, HostTensor>> {
  const { entries } = await readSafetensorsHeader(path);
  const tensors = new Map<string, HostTensor>();
  for (const entry of entries.values()) {
    if (entry.name.startsWith(prefix)) tensors.set(entry.name.slice(prefix.length), floats(entry.shape, await readTensor(entry)));
  }
  return tensors;
}

function parseState(text: string, path: string): { readonly updates: number; readonly loop: LoopState } {
  let stored: { version?: unknown; updates?: unknown; loop?: LoopState };
  try {
    stored = JSON.parse(text) as typeof stored;
  } catch (cause) {
    throw new GiantError("format", `${path}: found broken JSON, needed the state of a checkpoint`, {
      hint: "Remove this checkpoint's folder to go on from the one before it.",
      cause,
    });
  }
  if (stored.version !== VERSION || typeof stored.updates !== "number" || typeof stored.loop?.step !== "number") {
    throw new GiantError("format", `${path}: found version ${String(stored.version)}, needed a checkpoint of version ${VERSION}`);
  }
  return { updates: stored.updates, loop: stored.loop };
}

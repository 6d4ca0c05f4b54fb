/** The memory of a whole run: what its programs and tensors take together, at the moment when that is most. */
import type { MemoryForecast } from "./memory-parts.ts";
import type { ProgramMemory } from "./program-memory.ts";

/** The programs a run has open, and the bytes that are its method's own. */
export interface RunMemory {
  readonly step: ProgramMemory;
  readonly update: ProgramMemory;
  /** Adds the gradients of one micro-batch to those of earlier ones; absent when an optimiser step has one micro-batch. */
  readonly accumulation?: ProgramMemory;
  readonly evaluation?: ProgramMemory;
  readonly generation?: ProgramMemory;
  /** Bytes of all trained tensors, as float32. */
  readonly trainableBytes: number;
  /** Micro-batches of an optimiser step. */
  readonly microBatches: number;
  /** Bytes the method's tensors have on the device, trained or not. */
  readonly methodBytes: number;
  readonly vocabulary: number;
}

/**
 * Node, ONNX Runtime and this program, with a few hundred examples read and some steps done: measured on the smallest
 * models, where nothing else counts. Without data and steps it is some 25 MiB less, after long runs some 20 MiB more.
 */
const PROCESS_BYTES = 155 * 2 ** 20;
/** A node of the first graph in JavaScript, in its file and in ONNX Runtime; of later graphs, whose garbage finds room. */
const [FIRST_NODE_BYTES, NODE_BYTES] = [13_000, 8_000];
/** A token in the tokenizer: its text, its number and its place in the merges. */
const TOKEN_BYTES = 500;
/** Between two collections the engine holds replaced gradients, up to what makes V8 look for garbage. */
const GARBAGE_BYTES = 64 * 2 ** 20;
/**
 * Copies of the trained tensors that live on the host beside the learner's: a checkpoint brings values and moments there
 * (by then room of earlier garbage is free), answers need the values there, on their way, and in the generator.
 */
const [SAVED_COPIES, ANSWER_COPIES] = [2, 3];

/** The forecast of the peak of a run on the CPU. */
export function runMemory(run: RunMemory): MemoryForecast {
  const { step, update, accumulation, evaluation, generation, trainableBytes, methodBytes } = run;
  const later = [update, accumulation, evaluation].filter((program) => program !== undefined);
  const gradients = trainableBytes * (accumulation === undefined ? 1 : 2) + Math.min(trainableBytes * run.microBatches, GARBAGE_BYTES);
  const saving = SAVED_COPIES * trainableBytes;
  const answering = generation === undefined ? 0 : privateBytes(generation) + generation.mappedBytes + ANSWER_COPIES * methodBytes;
  const parts = {
    weights: step.mappedBytes + step.packedBytes + (evaluation?.mappedBytes ?? 0),
    trainables: 2 * methodBytes + gradients,
    optimiser: 2 * trainableBytes + update.arenaBytes,
    activations: step.arenaBytes - step.logitBytes,
    logits: step.logitBytes,
    workspace:
      processBytes(run.vocabulary) +
      FIRST_NODE_BYTES * step.nodes +
      later.reduce((sum, { nodes }) => sum + NODE_BYTES * nodes, 0) +
      (evaluation?.arenaBytes ?? 0) +
      Math.max(saving, answering),
  };
  return { peakBytes: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0), parts };
}

/** The process with a model and its tokenizer opened. */
export function processBytes(vocabulary: number): number {
  return PROCESS_BYTES + TOKEN_BYTES * vocabulary;
}

/** What generating takes beside the weights: the graph, its values, and the cache before and after a token. */
export function privateBytes({ nodes, arenaBytes, outputBytes }: ProgramMemory): number {
  return NODE_BYTES * nodes + arenaBytes + 2 * outputBytes;
}

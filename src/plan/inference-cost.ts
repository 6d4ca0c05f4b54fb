/** What writing with a model costs: memory, and the time of reading a prompt and of each further token. */
import type { OnnxModel } from "../onnx/model.ts";
import type { MachineFigures } from "./machine.ts";
import { programMemory } from "./program-memory.ts";
import { programSeconds } from "./program-time.ts";
import { privateBytes, processBytes } from "./run-memory.ts";
import { programWork } from "./work.ts";

export const WEIGHT_FORMATS = ["fp32", "fp16", "int8", "int4"] as const;
export type WeightFormat = (typeof WEIGHT_FORMATS)[number];

/** Bytes of one number of a matrix; whole numbers come in blocks of 32 that share a float32 scale. */
const NUMBER_BYTES: Readonly<Record<WeightFormat, number>> = { fp32: 4, fp16: 2, int8: 1 + 4 / 32, int4: 1 / 2 + 4 / 32 };

export interface InferenceCost {
  readonly format: WeightFormat;
  readonly weightBytes: number;
  /** Keys and values of the whole context. */
  readonly cacheBytes: number;
  readonly peakBytes: number;
  /** Tokens of a prompt read per second. */
  readonly promptTokensPerSecond: number;
  /** Tokens written per second when the context is nearly full. */
  readonly tokensPerSecond: number;
  /** True for a format that is forecast only: nothing here runs it yet. */
  readonly forecastOnly: boolean;
}

/** What is written with. */
export interface InferenceSetting {
  /** The graph of generation with float32 weights, and with half-precision ones. */
  readonly fp32: OnnxModel;
  readonly fp16: OnnxModel;
  /** Shapes of all weights. */
  readonly weights: Iterable<readonly number[]>;
  readonly vocabulary: number;
  /** Tokens of the longest text. */
  readonly context: number;
}

/**
 * The cost of one text in a format. Float formats are walked as they run. Of whole numbers, memory is counted by their
 * size; a token is bound by how fast weights are read, so its time is float32's less what is not read, and a prompt is bound
 * by arithmetic, which is taken to be float32's.
 */
export function inferenceCost(setting: InferenceSetting, format: WeightFormat, machine: MachineFigures): InferenceCost {
  const { context, vocabulary } = setting;
  const forecastOnly = format === "int8" || format === "int4";
  const program = format === "fp16" ? setting.fp16 : setting.fp32;
  const reading = new Map(Object.entries({ B: 1, N: 1, T: context, P: 0 }));
  const writing = new Map(Object.entries({ B: 1, N: 1, T: 1, P: context - 1 }));
  const weightBytes = [...setting.weights].reduce((sum, shape) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return sum + size * (shape.length > 1 ? NUMBER_BYTES[format] : NUMBER_BYTES[format === "fp16" ? "fp16" : "fp32"]);
  }, 0);
  const work = programWork(program, writing);
  const readBytes = work.nodes.reduce((sum, node) => sum + (node.kind === "product" && node.rows === 1 ? node.bytes : 0), 0);
  const saved = forecastOnly ? (readBytes * (1 - NUMBER_BYTES[format] / NUMBER_BYTES.fp32)) / machine.rowProductBytesPerSecond : 0;
  const memory = programMemory(program, { bindings: reading });
  const { outputBytes } = programMemory(program, { bindings: writing });
  return {
    format,
    weightBytes,
    cacheBytes: outputBytes - vocabulary * Float32Array.BYTES_PER_ELEMENT,
    peakBytes: processBytes(vocabulary) + weightBytes + privateBytes({ ...memory, outputBytes }),
    promptTokensPerSecond: context / programSeconds(programWork(program, reading), machine),
    tokensPerSecond: 1 / (programSeconds(work, machine) - saved + outputBytes / machine.freshBytesPerSecond),
    forecastOnly,
  };
}

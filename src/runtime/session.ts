/** Opens an ONNX Runtime session as every program of ours needs it. */
import { InferenceSession } from "onnxruntime-node";
import { GiantError } from "../base/errors.ts";
import type { Dtype } from "../core/dtype.ts";
import type { DeviceName, ProgramOptions } from "./engine.ts";
import type { Port } from "./protocol.ts";

const FATAL = 4; // ONNX Runtime's log level: everything else comes as an exception

const WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path";

/**
 * A session on `device`. Operators the device lacks run on the CPU.
 *
 * Graphs come as they are to run: fused, without duplicates and in a memory-saving order, so ONNX Runtime's own rewriting
 * would only cost time. The arena stays on (without it memory grows with changing shapes); one block planned per shape is
 * off, because the arena keeps what earlier shapes took beside it (3.5 GB against 2.2 GB on a LoRA step of the 135M shape).
 * Nothing is printed.
 */
export async function openSession(
  model: Uint8Array,
  device: DeviceName,
  threads: number,
  options: ProgramOptions = {},
  onDevice = false,
): Promise<InferenceSession> {
  // The binding joins nested keys with dots, so flat keys with dots reach ONNX Runtime unchanged.
  const extra: Record<string, string> = { ...options.sessionConfig };
  if (options.weightsFolder !== undefined) extra[WEIGHTS_FOLDER] = options.weightsFolder;
  const sessionOptions: InferenceSession.SessionOptions = {
    executionProviders: [device],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: "disabled",
    enableCpuMemArena: true,
    enableMemPattern: false,
    logSeverityLevel: FATAL,
    extra,
  };
  if (options.profilePrefix !== undefined) {
    sessionOptions.enableProfiling = true;
    sessionOptions.profileFilePrefix = options.profilePrefix;
  }
  if (onDevice) sessionOptions.preferredOutputLocation = "gpu-buffer";
  return InferenceSession.create(model, sessionOptions);
}

/** Names, types and dimensions of a session's inputs or outputs. */
export function portsOf(metadata: readonly InferenceSession.ValueMetadata[]): Port[] {
  return metadata.filter((value) => value.isTensor).map((value) => ({ name: value.name, dtype: dtypeOf(value.name, value.type), dims: value.shape }));
}

function dtypeOf(name: string, type: string): Dtype {
  if (type === "float32" || type === "int32" || type === "bool") return type;
  throw new GiantError("internal", `graph value ${name}: type ${type}, needed float32, int32 or bool`);
}

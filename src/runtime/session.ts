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
 * The arena stays on (without it memory grows with changing shapes), and nothing is printed.
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
    graphOptimizationLevel: "all",
    enableCpuMemArena: true,
    enableMemPattern: true,
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
  return metadata
    .filter((value) => value.isTensor)
    .map((value) => ({ name: value.name, dtype: dtypeOf(value.name, value.type), dims: value.shape }));
}

function dtypeOf(name: string, type: string): Dtype {
  if (type === "float32" || type === "int32" || type === "bool") return type;
  throw new GiantError("internal", `graph value ${name}: type ${type}, needed float32, int32 or bool`);
}

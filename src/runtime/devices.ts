/** Finds the devices that are really there, and says how to get those that are not. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { GiantError } from "../base/errors.ts";
import { isPresent } from "../io/system-file.ts";
import type { DeviceName } from "./engine.ts";
import { WorkerEngine } from "./worker-client.ts";

/**
 * An engine on one device.
 * @throws GiantError("device") when it is absent, saying what was looked for and how to get it.
 */
export async function startOn(device: DeviceName, threads: number): Promise<WorkerEngine> {
  const missing = device === "cuda" ? missingCuda() : undefined;
  if (missing !== undefined) throw absent(device, missing);
  try {
    return await WorkerEngine.start(device, threads);
  } catch (error) {
    if (device === "cpu" || (error instanceof GiantError && error.code === "internal" && error.cause !== undefined)) throw error;
    throw absent(device, reasonOf(error));
  }
}

/** What is known of a device after asking for it. */
export interface DeviceReport {
  readonly name: DeviceName;
  readonly present: boolean;
  /** What was found, or what was looked for in vain. */
  readonly detail: string;
  /** How to get it, when absent. */
  readonly hint: string | undefined;
}

/** Starts every device in turn and reports on each; a driver that cannot find a graphics processor is left asleep. */
export async function surveyDevices(threads: number): Promise<DeviceReport[]> {
  const reports: DeviceReport[] = [];
  for (const name of ["cpu", "webgpu", "cuda"] as const) {
    if (name === "webgpu" && !hasGraphicsProcessor() && vulkanDrivers() === undefined) {
      reports.push({ name, present: false, detail: "no graphics processor was found (/dev/dri, /dev/nvidia0, /dev/dxg)", hint: webgpuHint() });
      continue;
    }
    try {
      const engine = await startOn(name, threads);
      await engine.close();
      const software = name === "webgpu" && !hasGraphicsProcessor();
      const detail =
        name === "cpu"
          ? threads === 1
            ? "1 thread"
            : `${threads} threads`
          : software
            ? "a software adapter: for tests, slower than the CPU"
            : "multiplies matrices rightly";
      reports.push({ name, present: true, detail, hint: undefined });
    } catch (error) {
      if (!(error instanceof GiantError)) throw error;
      reports.push({ name, present: false, detail: error.message.replace(`device ${name} is not available: `, ""), hint: error.hint });
    }
  }
  return reports;
}

function absent(device: DeviceName, reason: string): GiantError {
  const hint = device === "cuda" ? cudaHint() : webgpuHint();
  return new GiantError("device", `device ${device} is not available: ${reason}`, { hint, facts: { device } });
}

function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (/Failed to get a WebGPU adapter|adapter/i.test(message)) return "no WebGPU adapter was found";
  return message.replace(/^starting the device: /, "");
}

function webgpuHint(): string {
  switch (process.platform) {
    case "linux":
      return process.arch === "x64"
        ? "WebGPU on Linux needs a graphics processor with a Vulkan driver (libvulkan1 and the vendor's driver); or use --device cpu."
        : "onnxruntime-node has no WebGPU for Linux on this processor; use --device cpu.";
    case "darwin":
      return "WebGPU on macOS needs Metal, which every Mac with macOS 13 has; or use --device cpu.";
    default:
      return "WebGPU needs a graphics processor with a current driver (Direct3D 12); or use --device cpu.";
  }
}

function cudaHint(): string {
  return process.platform === "linux" && process.arch === "x64"
    ? "Install CUDA 12 and cuDNN 9, then run: npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12"
    : "onnxruntime-node has CUDA for Linux on x64 only; use --device webgpu.";
}

const CUDA_LIBRARY = "libonnxruntime_providers_cuda.so";

/** Why CUDA cannot be tried, or undefined when its provider library is installed. */
export function missingCuda(): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return `there is no CUDA provider for ${process.platform} ${process.arch}`;
  const main = createRequire(import.meta.url).resolve("onnxruntime-node");
  const library = join(dirname(main), "..", "bin", "napi-v6", "linux", "x64", CUDA_LIBRARY);
  return isPresent(library) ? undefined : `${CUDA_LIBRARY} is not installed`;
}

/** Device nodes that a driver of a graphics processor makes on Linux. */
const GRAPHICS_NODES: readonly string[] = [...Array.from({ length: 8 }, (_, i) => `/dev/dri/renderD${128 + i}`), "/dev/nvidia0", "/dev/dxg"];

/** Vulkan drivers that compute on the CPU. */
const SOFTWARE_DRIVER = /swiftshader|lvp|lavapipe/i;

/** Whether a graphics processor may be here: a cheap look before a driver is woken. */
export function hasGraphicsProcessor(): boolean {
  const drivers = vulkanDrivers();
  if (drivers !== undefined && drivers.split(":").every((file) => SOFTWARE_DRIVER.test(file))) return false;
  return process.platform !== "linux" || GRAPHICS_NODES.some(isPresent);
}

/** The Vulkan drivers the user chose by a variable, if any. */
function vulkanDrivers(): string | undefined {
  return process.env["VK_DRIVER_FILES"] ?? process.env["VK_ICD_FILENAMES"];
}

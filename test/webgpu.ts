/** Finds the software WebGPU adapter that tests use where there is no graphics processor: SwiftShader of Chromium. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Variables to set before the first WebGPU session of the process, or the sentence that says what is missing. */
export type SoftwareWebgpu = { readonly env: Readonly<Record<string, string>> } | { readonly missing: string };

const HOW_TO_GET_IT = "install them with: apt-get install chromium libvulkan1";

const KNOWN_DRIVERS: readonly string[] = [
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
  "/opt/google/chrome/vk_swiftshader_icd.json",
];

const VULKAN_LOADERS: readonly string[] = ["/usr/lib/x86_64-linux-gnu/libvulkan.so.1", "/usr/lib64/libvulkan.so.1", "/usr/lib/libvulkan.so.1"];

/** Looks for SwiftShader's driver file and the Vulkan loader on Linux; elsewhere nothing needs to be set. */
export function softwareWebgpu(): SoftwareWebgpu {
  if (process.platform !== "linux") return { env: {} }; // macOS and Windows have an adapter of their own
  if (process.arch !== "x64") return { missing: `onnxruntime-node has no WebGPU for Linux on ${process.arch}` };
  const driver = KNOWN_DRIVERS.find((path) => existsSync(path)) ?? driverOfPackage();
  if (driver === undefined) return { missing: `SwiftShader's Vulkan driver (of Chromium) was not found; ${HOW_TO_GET_IT}` };
  if (!VULKAN_LOADERS.some((path) => existsSync(path))) return { missing: `the Vulkan loader was not found; ${HOW_TO_GET_IT}` };
  return { env: { VK_ICD_FILENAMES: driver, XDG_RUNTIME_DIR: mkdtempSync(join(tmpdir(), "webgpu-")) } };
}

function driverOfPackage(): string | undefined {
  try {
    const files = execFileSync("dpkg", ["-L", "chromium"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return files.split("\n").find((path) => path.endsWith("swiftshader_icd.json"));
  } catch {
    return undefined;
  }
}

/**
 * Makes the software adapter visible to this process; to be called before its first WebGPU engine.
 * @throws Error that says what is missing and how to get it: a test that needs the adapter fails, it is not skipped.
 */
export function useSoftwareWebgpu(): void {
  const found = softwareWebgpu();
  if ("missing" in found) throw new Error(found.missing);
  // Assignments in the main thread reach the process's environment, which the Vulkan loader reads when it is loaded.
  Object.assign(process.env, found.env);
}

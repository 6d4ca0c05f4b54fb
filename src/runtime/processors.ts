/** Counts the processor cores this process may use, and names what they can do. */
import { execFileSync } from "node:child_process";
import { availableParallelism, cpus } from "node:os";
import { readSystemText } from "../io/system-file.ts";
import { controlGroupFolders, type SystemReader } from "./memory.ts";

/**
 * Physical cores this process may use: two hardware threads of one core count once, and the affinity mask and the
 * control group's quota are respected. More threads than that make matrix products slower.
 */
export function physicalCores(read: SystemReader = readSystemText): number {
  const cores = coresInMask(read) ?? coresOfMac() ?? availableParallelism();
  return Math.max(1, Math.min(cores, quotaCores(read)));
}

/** Distinct (package, core) pairs of /proc/cpuinfo among the processors of our affinity mask. */
function coresInMask(read: SystemReader): number | undefined {
  const cpuinfo = read("/proc/cpuinfo");
  const allowed = /^Cpus_allowed_list:\s*(.+)$/m.exec(read("/proc/self/status") ?? "")?.[1];
  if (cpuinfo === undefined || allowed === undefined) return undefined;
  const mask = numbersIn(allowed);
  const cores = new Set<string>();
  for (const block of cpuinfo.split(/\n\s*\n/)) {
    const value = (name: string): string | undefined => new RegExp(`^${name}\\s*:\\s*(\\d+)`, "m").exec(block)?.[1];
    const processor = value("processor");
    if (processor === undefined || !mask.has(Number(processor))) continue;
    // Where the kernel names no cores (ARM), every processor is one.
    cores.add(value("core id") === undefined ? `processor ${processor}` : `${value("physical id") ?? 0} ${value("core id")}`);
  }
  return cores.size === 0 ? undefined : cores.size;
}

/** The numbers of a list like `0-3,8`. */
function numbersIn(list: string): Set<number> {
  const numbers = new Set<number>();
  for (const range of list.split(",")) {
    const [first, last] = range.split("-").map(Number);
    for (let i = first!; i <= (last ?? first!); i++) numbers.add(i);
  }
  return numbers;
}

/** Whole cores that the control group's quota allows; Infinity without one. */
function quotaCores(read: SystemReader): number {
  let cores = Infinity;
  for (const folder of controlGroupFolders("cpu", read)) {
    const [quota, period] = (read(`${folder}/cpu.max`) ?? `${read(`${folder}/cpu.cfs_quota_us`)} ${read(`${folder}/cpu.cfs_period_us`)}`)
      .trim()
      .split(/\s+/)
      .map(Number);
    if (quota !== undefined && period !== undefined && quota > 0 && period > 0) cores = Math.min(cores, Math.ceil(quota / period));
  }
  return cores;
}

function coresOfMac(): number | undefined {
  const cores = Number(macSetting("hw.physicalcpu"));
  return Number.isInteger(cores) && cores > 0 ? cores : undefined;
}

function macSetting(name: string): string | undefined {
  if (process.platform !== "darwin") return undefined;
  try {
    return execFileSync("sysctl", ["-n", name], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined;
  }
}

export interface Processor {
  readonly model: string;
  /** Instruction sets that matter for matrix products, by their usual names. */
  readonly instructions: readonly string[];
}

/** Kernel flag → name shown. */
const INSTRUCTIONS: readonly (readonly [flag: string, name: string])[] = [
  ["avx2", "AVX2"],
  ["avx512f", "AVX-512"],
  ["avx512_vnni", "AVX-512 VNNI"],
  ["avx512_bf16", "AVX-512 BF16"],
  ["amx_tile", "AMX"],
  ["asimd", "NEON"],
  ["asimddp", "NEON dot product"],
  ["i8mm", "NEON int8 products"],
  ["bf16", "NEON BF16"],
  ["sve", "SVE"],
];

/** The processor's name, and its instruction sets where the system tells them (Linux, macOS). */
export function processor(read: SystemReader = readSystemText): Processor {
  const cpuinfo = read("/proc/cpuinfo") ?? "";
  const flags = new Set((/^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? "").split(/\s+/));
  const instructions = INSTRUCTIONS.filter(([flag]) => flags.has(flag)).map(([, name]) => name);
  if (process.platform === "darwin") {
    if (process.arch === "arm64") instructions.push("NEON");
    if (macSetting("hw.optional.avx2_0") === "1") instructions.push("AVX2");
    if (macSetting("hw.optional.arm.FEAT_BF16") === "1") instructions.push("NEON BF16");
  }
  return { model: cpus()[0]?.model.trim() || process.arch, instructions };
}

/** Measures memory: of this process, and of the machine within the limits set for us. */
import { freemem, totalmem } from "node:os";
import { readSystemText, writeSystemText } from "../io/system-file.ts";

/** Reads a system file; tests give their own. */
export type SystemReader = (path: string) => string | undefined;

export interface ProcessMemory {
  /** Physical memory this process holds now. */
  readonly residentBytes: number;
  /** The most it held since its start, or since `resetPeak`. */
  readonly peakBytes: number;
}

/** Current and peak resident memory of this process (Linux: VmRSS and VmHWM; elsewhere getrusage). */
export function processMemory(read: SystemReader = readSystemText): ProcessMemory {
  const status = read("/proc/self/status");
  const residentBytes = kilobytes(status, "VmRSS") ?? process.memoryUsage.rss();
  return { residentBytes, peakBytes: kilobytes(status, "VmHWM") ?? process.resourceUsage().maxRSS * 1024 };
}

/** Lets the peak start again from the memory held now; false where the system cannot (all but Linux). */
export function resetPeak(): boolean {
  return writeSystemText("/proc/self/clear_refs", "5");
}

export interface MachineMemory {
  /** Physical memory, or the container's limit where that is lower. */
  readonly totalBytes: number;
  /** What can still be used without swapping: caches that can be dropped count as free. */
  readonly availableBytes: number;
  /** The lowest limit a control group sets, if any. */
  readonly limitBytes: number | undefined;
}

/** Memory of the machine as far as this process may use it (MemAvailable; control groups of version 1 and 2). */
export function machineMemory(read: SystemReader = readSystemText): MachineMemory {
  const meminfo = read("/proc/meminfo");
  const total = kilobytes(meminfo, "MemTotal") ?? totalmem();
  const available = kilobytes(meminfo, "MemAvailable") ?? freemem();
  const limits = memoryLimits(read).filter(({ limitBytes }) => limitBytes < total);
  return {
    totalBytes: Math.min(total, ...limits.map(({ limitBytes }) => limitBytes)),
    availableBytes: Math.max(0, Math.min(available, ...limits.map(({ limitBytes, usedBytes }) => limitBytes - usedBytes))),
    limitBytes: limits.length === 0 ? undefined : Math.min(...limits.map(({ limitBytes }) => limitBytes)),
  };
}

interface MemoryLimit {
  readonly limitBytes: number;
  /** What the group holds and cannot drop. */
  readonly usedBytes: number;
}

/** The limits of our control group and of all groups around it. */
function memoryLimits(read: SystemReader): MemoryLimit[] {
  const limits: MemoryLimit[] = [];
  for (const folder of controlGroupFolders("memory", read)) {
    const limit = numberIn(read(`${folder}/memory.max`)) ?? numberIn(read(`${folder}/memory.limit_in_bytes`));
    if (limit === undefined) continue;
    const used = numberIn(read(`${folder}/memory.current`)) ?? numberIn(read(`${folder}/memory.usage_in_bytes`)) ?? 0;
    const stat = read(`${folder}/memory.stat`);
    const droppable = Number(/^(?:total_)?inactive_file (\d+)$/m.exec(stat ?? "")?.[1] ?? 0);
    limits.push({ limitBytes: limit, usedBytes: Math.max(0, used - droppable) });
  }
  return limits;
}

/**
 * Folders of our control group for `controller` and of the groups around it, innermost first.
 * In a container the group's own path may be hidden and its files lie at the root: that is tried too.
 */
export function controlGroupFolders(controller: string, read: SystemReader): string[] {
  const folders: string[] = [];
  for (const line of (read("/proc/self/cgroup") ?? "").split("\n")) {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line);
    if (match === null) continue;
    const [, controllers, path] = match as unknown as [string, string, string];
    const mount = controllers === "" ? "/sys/fs/cgroup" : controllers.split(",").includes(controller) ? `/sys/fs/cgroup/${controller}` : undefined;
    if (mount === undefined) continue;
    const names = path.split("/").filter((name) => name !== "");
    for (let depth = names.length; depth >= 0; depth--) folders.push([mount, ...names.slice(0, depth)].join("/"));
  }
  return folders;
}

function numberIn(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? "";
  return /^\d+$/.test(trimmed) ? Number(trimmed) : undefined; // "max" is no limit
}

function kilobytes(text: string | undefined, name: string): number | undefined {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text ?? "");
  return match === null ? undefined : Number(match[1]) * 1024;
}

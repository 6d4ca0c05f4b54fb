/** Memory and processors, measured here and read from systems that are not this one. */
import { totalmem } from "node:os";
import { expect, test } from "vitest";
import { controlGroupFolders, machineMemory, processMemory, resetPeak } from "./memory.ts";
import { physicalCores, processor } from "./processors.ts";

const MiB = 1024 * 1024;

function system(files: Record<string, string>): (path: string) => string | undefined {
  return (path) => files[path];
}

test("the peak follows what is held, and can start again on Linux", () => {
  const before = processMemory();
  const block = Buffer.alloc(200 * MiB, 1);
  const during = processMemory();
  expect(during.residentBytes - before.residentBytes).toBeGreaterThan(150 * MiB);
  expect(during.peakBytes).toBeGreaterThanOrEqual(during.residentBytes);
  expect(block.length).toBe(200 * MiB);
  if (resetPeak()) {
    const after = processMemory();
    expect(Math.abs(after.peakBytes - after.residentBytes)).toBeLessThan(20 * MiB);
  }
});

test("this machine has memory and cores", () => {
  const memory = machineMemory();
  expect(memory.totalBytes).toBeGreaterThan(0);
  expect(memory.totalBytes).toBeLessThanOrEqual(totalmem());
  expect(memory.availableBytes).toBeLessThanOrEqual(memory.totalBytes);
  expect(physicalCores()).toBeGreaterThanOrEqual(1);
  expect(processor().model).not.toBe("");
});

const MEMINFO = "MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    8192 kB\n";

test("without a control group, MemAvailable counts", () => {
  expect(machineMemory(system({ "/proc/meminfo": MEMINFO }))).toEqual({ totalBytes: 16 * MiB, availableBytes: 8 * MiB, limitBytes: undefined });
});

test("version 2: the lowest limit on the way to the root counts, and droppable caches are free", () => {
  const read = system({
    "/proc/meminfo": MEMINFO,
    "/proc/self/cgroup": "0::/a/b\n",
    "/sys/fs/cgroup/a/b/memory.max": "max\n",
    "/sys/fs/cgroup/a/memory.max": `${6 * MiB}\n`,
    "/sys/fs/cgroup/a/memory.current": `${5 * MiB}\n`,
    "/sys/fs/cgroup/a/memory.stat": `anon 1\ninactive_file ${2 * MiB}\n`,
  });
  expect(machineMemory(read)).toEqual({ totalBytes: 6 * MiB, availableBytes: 3 * MiB, limitBytes: 6 * MiB });
});

test("version 1: an unlimited group has a limit above all memory, which is none", () => {
  const files = {
    "/proc/meminfo": MEMINFO,
    "/proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/docker/1\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
  };
  expect(machineMemory(system(files)).limitBytes).toBeUndefined();
  const limited = { ...files, "/sys/fs/cgroup/memory/memory.limit_in_bytes": `${4 * MiB}`, "/sys/fs/cgroup/memory/memory.usage_in_bytes": `${3 * MiB}` };
  expect(machineMemory(system(limited))).toEqual({ totalBytes: 4 * MiB, availableBytes: 1 * MiB, limitBytes: 4 * MiB });
  expect(controlGroupFolders("cpu", system(files))).toEqual(["/sys/fs/cgroup/cpu"]);
});

/** Four processors on two cores. */
const CPUINFO = [0, 1, 2, 3].map((n) => `processor\t: ${n}\nphysical id\t: 0\ncore id\t\t: ${n % 2}\nflags\t\t: avx2 avx512f\n`).join("\n");

test.each([
  ["hardware threads of one core count once", "0-3", {}, 2],
  ["the affinity mask counts", "0,2", {}, 1],
  ["a quota of version 2 counts", "0-3", { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "100000 100000\n" }, 1],
  [
    "a quota of version 1 counts",
    "0-3",
    { "/proc/self/cgroup": "1:cpu:/\n", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n" },
    1,
  ],
  [
    "no quota is none",
    "0-3",
    { "/proc/self/cgroup": "1:cpu:/\n", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n" },
    2,
  ],
] as const)("%s", (_, allowed, files, cores) => {
  const read = system({ "/proc/cpuinfo": CPUINFO, "/proc/self/status": `Cpus_allowed_list:\t${allowed}\n`, ...files });
  expect(physicalCores(read)).toBe(cores);
});

test("instruction sets are named", () => {
  expect(processor(system({ "/proc/cpuinfo": CPUINFO })).instructions).toEqual(expect.arrayContaining(["AVX2", "AVX-512"]));
});

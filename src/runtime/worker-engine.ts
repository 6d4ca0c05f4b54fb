/** Starts an engine on the device asked for, or on the best one that is really there. */
import { GiantError } from "../base/errors.ts";
import { hasGraphicsProcessor, missingCuda, startOn } from "./devices.ts";
import type { Engine, EngineOptions } from "./engine.ts";
import { physicalCores } from "./processors.ts";

/**
 * An engine on the device asked for.
 * @throws GiantError("device") when it is absent, saying what was looked for and how to get it.
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const threads = options.threads ?? physicalCores();
  if (!Number.isInteger(threads) || threads < 1) {
    throw new GiantError("usage", `threads: ${threads}, needed a whole number of at least 1`);
  }
  if (options.device === "auto") return startBest(threads);
  return startOn(options.device, threads);
}

/**
 * CUDA where its libraries are installed and work; else WebGPU where there is a graphics processor and it multiplies
 * matrices faster than the CPU (a software adapter never does); else the CPU.
 */
async function startBest(threads: number): Promise<Engine> {
  if (missingCuda() === undefined) {
    const cuda = await startOn("cuda", threads).catch(onlyAbsent);
    if (cuda !== undefined) return cuda;
  }
  const webgpu = hasGraphicsProcessor() ? await startOn("webgpu", threads).catch(onlyAbsent) : undefined;
  const cpu = await startOn("cpu", threads);
  if (webgpu === undefined) return cpu;
  const webgpuMs = await webgpu.race();
  const cpuMs = await cpu.race();
  const [winner, loser] = webgpuMs < cpuMs ? [webgpu, cpu] : [cpu, webgpu];
  await loser.close();
  return winner;
}

function onlyAbsent(error: unknown): undefined {
  if (error instanceof GiantError && error.code === "device") return undefined;
  throw error;
}

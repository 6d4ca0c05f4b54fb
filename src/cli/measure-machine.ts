/** Measures the machine for a plan: two seconds of small graphs on the device that a run would use. */
import type { MachineFigures } from "../plan/machine.ts";
import type { DeviceName } from "../runtime/engine.ts";

export async function measureMachine(device: DeviceName | "auto", threads?: number): Promise<MachineFigures> {
  const [{ startEngine }, { probeMachine }] = await Promise.all([import("../runtime/worker-engine.ts"), import("../runtime/machine-probe.ts")]);
  const engine = await startEngine({ device, ...(threads === undefined ? {} : { threads }) });
  try {
    return await probeMachine(engine);
  } finally {
    await engine.close();
  }
}

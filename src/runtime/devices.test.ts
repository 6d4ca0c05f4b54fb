/** Devices that are absent, with the reason and the way to get them. */
import { expect, test } from "vitest";
import { missingCuda, surveyDevices } from "./devices.ts";
import { startEngine } from "./worker-engine.ts";

test("auto without a graphics processor is the CPU; an absent WebGPU says what was looked for and what to do", async () => {
  // No test of this file may see an adapter: the Vulkan loader is given no driver, on systems that use one.
  process.env["VK_ICD_FILENAMES"] = "/nonexistent.json";
  process.env["VK_DRIVER_FILES"] = "/nonexistent.json";
  if (process.platform !== "linux") return; // macOS and Windows have adapters that no variable hides
  await expect(startEngine({ device: "webgpu" })).rejects.toMatchObject({
    code: "device",
    message: "device webgpu is not available: no WebGPU adapter was found",
    hint: expect.stringContaining("use --device cpu"),
  });
  const engine = await startEngine({ device: "auto" });
  expect(engine.device).not.toBe("webgpu");
  expect(engine.threads).toBeGreaterThan(0);
  await engine.close();
});

test("the survey names each device, with a hint for those that are absent", async () => {
  const reports = await surveyDevices(1);
  expect(reports.map((report) => report.name)).toEqual(["cpu", "webgpu", "cuda"]);
  expect(reports[0]).toEqual({ name: "cpu", present: true, detail: "1 thread", hint: undefined });
  for (const report of reports) expect(report.present).toBe(report.hint === undefined);
  const missing = missingCuda();
  if (missing !== undefined) expect(reports[2]).toMatchObject({ present: false, detail: missing });
});

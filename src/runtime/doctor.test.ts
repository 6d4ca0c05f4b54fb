/** The doctor's report, of this machine and as text. */
import { expect, test } from "vitest";
import { examine, formatDoctor, type DoctorReport } from "./doctor.ts";

test("this machine can be examined", async () => {
  const report = await examine();
  expect(report.devices[0]).toMatchObject({ name: "cpu", present: true });
  expect(report.telemetryOff).toBe(true);
  expect(report.versions.onnxruntime).toMatch(/^\d+\.\d+\.\d+$/);
  // Only a path can be longer than a line: it has no place to be broken.
  for (const line of formatDoctor(report).split("\n")) expect(line.length <= 80 || !line.slice(14).includes(" ")).toBe(true);
});

test("the text names what is missing and how to get it, in 80 columns", () => {
  const GiB = 2 ** 30;
  const report: DoctorReport = {
    versions: { miniGiants: "1.2.3", node: "20.19.0", onnxruntime: "1.30.0" },
    platform: "linux x64, kernel 6.1.0",
    processor: { model: "Example 9000", instructions: ["AVX2", "AVX-512", "AVX-512 VNNI", "AVX-512 BF16", "AMX"] },
    threads: 8,
    memory: { totalBytes: 16 * GiB, availableBytes: 12 * GiB, limitBytes: 16 * GiB },
    disk: { folder: "/home/user/runs", freeBytes: 100 * GiB },
    devices: [
      { name: "cpu", present: true, detail: "8 threads", hint: undefined },
      { name: "cuda", present: false, detail: "libonnxruntime_providers_cuda.so is not installed", hint: "Install CUDA 12 and cuDNN 9." },
    ],
    telemetryOff: true,
    softwareWebgpu: undefined,
  };
  expect(formatDoctor(report)).toBe(`\
mini-giants   1.2.3
Node.js       20.19.0
ONNX Runtime  1.30.0, telemetry off
platform      linux x64, kernel 6.1.0
processor     Example 9000, AVX2, AVX-512, AVX-512 VNNI, AVX-512 BF16, AMX
threads       8
memory        12.0 GiB available of 16.0 GiB, limited to 16.0 GiB
disk          100.0 GiB free in /home/user/runs
cpu           ready: 8 threads
cuda          absent: libonnxruntime_providers_cuda.so is not installed
              Install CUDA 12 and cuDNN 9.
test adapter  absent: SwiftShader, with which the tests run WebGPU on the CPU
              apt-get install chromium libvulkan1 (needed by the project's own
              tests only)`);
});

/** Says what is here: versions, processor, memory, disk, devices; and how to get what is missing. */
import { createRequire } from "node:module";
import { release } from "node:os";
import { formatBytes } from "../base/units.ts";
import { freeDiskBytes, isPresent } from "../io/system-file.ts";
import { surveyDevices, type DeviceReport } from "./devices.ts";
import { machineMemory, type MachineMemory } from "./memory.ts";
import { physicalCores, processor, type Processor } from "./processors.ts";
import { forbidTelemetry, telemetryIsOff } from "./telemetry.ts";

export interface DoctorReport {
  readonly versions: { readonly miniGiants: string; readonly node: string; readonly onnxruntime: string };
  readonly platform: string;
  readonly processor: Processor;
  /** Threads an engine uses when none are asked for. */
  readonly threads: number;
  readonly memory: MachineMemory;
  /** Free space where the command was started; undefined where it cannot be asked. */
  readonly disk: { readonly folder: string; readonly freeBytes: number | undefined };
  readonly devices: readonly DeviceReport[];
  readonly telemetryOff: boolean;
  /** SwiftShader's driver file, with which WebGPU is tested without a graphics processor. */
  readonly softwareWebgpu: string | undefined;
}

const SOFTWARE_DRIVERS: readonly string[] = [
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
  "/opt/google/chrome/vk_swiftshader_icd.json",
];

/** Looks at this machine; starts every device once. */
export async function examine(): Promise<DoctorReport> {
  forbidTelemetry();
  const require = createRequire(import.meta.url);
  const versionOf = (file: string): string => (require(file) as { version: string }).version;
  const threads = physicalCores();
  const folder = process.cwd();
  return {
    versions: {
      miniGiants: versionOf("../../package.json"),
      node: process.versions.node,
      onnxruntime: versionOf("onnxruntime-node/package.json"),
    },
    platform: `${process.platform} ${process.arch}, kernel ${release()}`,
    processor: processor(),
    threads,
    memory: machineMemory(),
    disk: { folder, freeBytes: freeDiskBytes(folder) },
    devices: await surveyDevices(threads),
    telemetryOff: telemetryIsOff(),
    softwareWebgpu: SOFTWARE_DRIVERS.find(isPresent),
  };
}

const COLUMNS = 80;
const LABEL_COLUMNS = 14;

/** The report for a terminal of 80 columns. */
export function formatDoctor(report: DoctorReport): string {
  const { versions, memory, disk } = report;
  const limit = memory.limitBytes === undefined ? "" : `, limited to ${formatBytes(memory.limitBytes)}`;
  const rows: [label: string, text: string][] = [
    ["mini-giants", versions.miniGiants],
    ["Node.js", versions.node],
    ["ONNX Runtime", `${versions.onnxruntime}, telemetry ${report.telemetryOff ? "off" : "on"}`],
    ["platform", report.platform],
    ["processor", [report.processor.model, ...report.processor.instructions].join(", ")],
    ["threads", String(report.threads)],
    ["memory", `${formatBytes(memory.availableBytes)} available of ${formatBytes(memory.totalBytes)}${limit}`],
    ["disk", `${disk.freeBytes === undefined ? "unknown" : formatBytes(disk.freeBytes)} free in ${disk.folder}`],
  ];
  for (const device of report.devices) {
    rows.push([device.name, `${device.present ? "ready" : "absent"}: ${device.detail}`]);
    if (device.hint !== undefined) rows.push(["", device.hint]);
  }
  rows.push(["test adapter", report.softwareWebgpu ?? "absent: SwiftShader, with which the tests run WebGPU on the CPU"]);
  if (report.softwareWebgpu === undefined) rows.push(["", "apt-get install chromium libvulkan1 (needed by the project's own tests only)"]);
  return rows.map(([label, text]) => wrap(label, text)).join("\n");
}

/** A label and its text, broken between words into lines of at most 80 columns. */
function wrap(label: string, text: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && LABEL_COLUMNS + line.length + 1 + word.length > COLUMNS) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines.map((content, i) => `${(i === 0 ? label : "").padEnd(LABEL_COLUMNS)}${content}`).join("\n");
}

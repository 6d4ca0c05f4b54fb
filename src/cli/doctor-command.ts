/** `mini-giants doctor`: says what this machine has, and how to get what is missing. */
import type { Command } from "./command.ts";

interface DoctorOptions {
  readonly json: boolean;
}

export const doctorCommand: Command<DoctorOptions> = {
  verb: "doctor",
  summary: "say what this machine has and what is missing",
  usage: "[options]",
  table: { json: { group: "Text", type: "boolean", default: false, help: "print JSON in place of text" } },
  async run(given, { output }) {
    const { examine, formatDoctor } = await import("../runtime/doctor.ts");
    const report = await examine();
    output.out(`${given.json === true ? JSON.stringify(report, null, 2) : formatDoctor(report)}\n`);
    return 0;
  },
};

/** Keeps ONNX Runtime from contacting its telemetry host. */

const SWITCH = "ORT_DISABLE_TELEMETRY";

/**
 * Turns ONNX Runtime's telemetry off for this process.
 *
 * Its native code reads the real environment about ten seconds after it is loaded, so the switch must be set in the
 * main thread (whose `process.env` writes through to the process) before the first worker loads it.
 * An absence tested by test/no-network.test.ts.
 */
export function forbidTelemetry(): void {
  process.env[SWITCH] = "1";
}

/** Whether telemetry is off, as `doctor` reports it. */
export function telemetryIsOff(): boolean {
  return process.env[SWITCH] === "1";
}

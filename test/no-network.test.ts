/** No packet leaves: jobs run with no route out and with every socket watched. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { assertNoOutwardTraffic, watchNetwork } from "./network-watch.ts";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));
const MAIN = join(PROJECT, "dist", "cli", "main.js");

function script(code: string): readonly string[] {
  return ["--input-type=module", "--eval", code];
}

test("the watch sees a connection", async () => {
  const code = `import net from "node:net"; net.connect(9, "192.0.2.1").on("error", () => process.exit(0));`;
  const { attempts } = await watchNetwork(process.execPath, script(code), { seconds: 10 });
  expect(attempts.join("\n")).toContain("192.0.2.1");
});

test("the watch sees a lookup of a name", async () => {
  const code = `import dns from "node:dns"; dns.lookup("example.invalid", () => process.exit(0));`;
  const { attempts } = await watchNetwork(process.execPath, script(code), { seconds: 10 });
  expect(attempts).not.toEqual([]);
  await expect(assertNoOutwardTraffic(process.execPath, script(code), { seconds: 10 })).rejects.toThrow("tried to reach the network");
});

test("the watch fails a command that ends with an error", async () => {
  await expect(assertNoOutwardTraffic(process.execPath, script("process.exit(3)"), { seconds: 10 })).rejects.toThrow("exit code 3");
});

test("an engine that computes and then idles past ONNX Runtime's telemetry reaches for nothing", async () => {
  const code = `
    import { startEngine } from "./dist/runtime/worker-engine.js";
    import { squareGraph } from "./dist/runtime/probe-graphs.js";
    const engine = await startEngine({ device: "cpu" });
    const program = await engine.open(squareGraph());
    const { y } = await program.run({ x: { dtype: "float32", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) } }, { y: "host" });
    console.log([...y.data].join(" "));
    setTimeout(() => engine.close(), 15_000);`;
  const run = await assertNoOutwardTraffic(process.execPath, script(code), { cwd: PROJECT, seconds: 40 });
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toBe("7 10 15 22\n");
});

test("the main job reaches for nothing: it tunes, measures, writes and answers", async () => {
  const folder = mkdtempSync(join(tmpdir(), "offline-"));
  try {
    const output = join(folder, "run");
    const run = await assertNoOutwardTraffic(process.execPath, [MAIN, "demo", "--output", output, "--device", "cpu", "--max-steps", "20"], {
      cwd: folder,
      seconds: 180,
    });
    expect(run.exitCode).toBe(0);
    expect(run.stdout).toContain("loss (nats per token)");
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 200_000);

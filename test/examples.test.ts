/** The programs in `examples/` run, and are right about the types of the public surface. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { runNode } from "./run-program.ts";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "examples-"));
const [model, data, output] = [join(PROJECT, "models", "pebble"), join(PROJECT, "datasets", "fairytale-qa", "train.jsonl"), join(scratch, "run")];
const example = (name: string): string => join(PROJECT, "examples", name);

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test("tune-and-generate tunes, measures and answers; adapter-tensors lists what it learned", async () => {
  const tuned = await runNode([example("tune-and-generate.js"), model, data, output], scratch);
  expect(tuned).toMatchObject({ code: 0, err: "" });
  const losses = [...tuned.out.matchAll(/^step (\d+): ([\d.]+) nats/gm)].map(([, step, loss]) => [Number(step), Number(loss)] as const);
  expect(losses.map(([step]) => step)).toEqual([0, 20, 40]);
  expect(losses.at(-1)![1]).toBeLessThan(losses[0]![1] - 1);
  expect(tuned.out).toMatch(/\nanswer: \S.*\n$/);

  const listed = await runNode([example("adapter-tensors.js"), join(output, "adapter")], scratch);
  expect(listed).toMatchObject({ code: 0, err: "" });
  expect(listed.out).toMatch(/^ +\d+\.\d{3} {2}F32 \[16, 192\] {2}base_model\.model\.model\.layers\.0\.self_attn\.q_proj\.lora_A\.weight$/m);
}, 300_000);

test("a mistake ends with one message", async () => {
  const { code, err } = await runNode([example("tune-and-generate.js"), join(scratch, "absent"), data, join(scratch, "nothing")], scratch);
  expect(code).toBe(1);
  expect(err).toContain("absent");
});

test("every example is run here, and all of them fit the package's types", () => {
  expect(readdirSync(join(PROJECT, "examples")).toSorted()).toEqual(["adapter-tensors.js", "tune-and-generate.js"]);
  execFileSync(process.execPath, [join(PROJECT, "node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.examples.json"], { cwd: PROJECT, stdio: "pipe" });
});

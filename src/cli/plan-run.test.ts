import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { USUAL_MACHINE } from "../plan/machine.ts";
import { type PlanRequest, RunPlanner } from "../train/run-plan.ts";
import { outlineModel } from "../workbench/model-outline.ts";
import { accuracyText, inferenceText, planText } from "./plan-run-text.ts";
import { runCli } from "./run.ts";

const config = {
  model_type: "llama",
  hidden_size: 64,
  intermediate_size: 172,
  num_hidden_layers: 2,
  num_attention_heads: 8,
  vocab_size: 300,
  max_position_embeddings: 256,
  tie_word_embeddings: true,
};
const request: PlanRequest = {
  method: "lora",
  rank: 8,
  batchSize: 2,
  maxLength: 64,
  gradientAccumulation: 1,
  recompute: false,
  packWeights: true,
  labelled: 1,
  loraDropout: 0,
  maxGradNorm: 1,
  validation: true,
  samples: 0,
  sampleTokens: 8,
};

let folder = "";
let file = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "plan-"));
  file = join(folder, "config.json");
  await writeFile(file, JSON.stringify(config));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function plan(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const said = { out: "", err: "" };
  const output = {
    out: (text: string) => void (said.out += text),
    err: (text: string) => void (said.err += text),
    live: false,
    outIsTerminal: false,
    columns: 100,
  };
  const code = await runCli(["plan", ...argv], { output, input: Readable.from([]), signal: new AbortController().signal }, () => "");
  return { code, ...said };
}

describe("plans of runs", () => {
  test("a config.json is enough, and JSON says what the text says", async () => {
    const { code, out } = await plan("--model", file, "--threads", "1", "--device", "cpu", "--max-length", "64", "--json");
    const report = JSON.parse(out) as { run: { fits: boolean; memory: { peakBytes: number } }; methods: { name: string }[]; maxLength: number };
    expect(code).toBe(0);
    expect(report.run.fits).toBe(true);
    expect(report.maxLength).toBe(64);
    expect(report.methods.map(({ name }) => name)).toEqual(["lora", "lora + recompute", "full", "full + recompute"]);
  }, 60_000);

  test("what fits is stretched to the largest that fits", async () => {
    const outline = await outlineModel(file);
    const generous = new RunPlanner(outline, USUAL_MACHINE, 1e12).run(request);
    expect(generous.largestLength).toBe(256); // the model's context
    const peak = (changes: Partial<PlanRequest>): number => new RunPlanner(outline, USUAL_MACHINE, 1e12).run({ ...request, ...changes }).memory.peakBytes;
    const limit = peak({ batchSize: 11 });
    const { largestBatch, fits } = new RunPlanner(outline, USUAL_MACHINE, limit).run(request);
    expect(fits).toBe(true);
    expect(largestBatch).toBeGreaterThanOrEqual(11);
    expect(peak({ batchSize: largestBatch })).toBeLessThanOrEqual(limit);
    expect(peak({ batchSize: largestBatch + 1 })).toBeGreaterThan(limit);
  });

  test("what does not fit is said, and is no error", async () => {
    const planner = new RunPlanner(await outlineModel(file), USUAL_MACHINE, 1e6);
    const run = planner.run(request);
    const methods = planner.methods(request, ["lora", "full"]);
    const about = { model: file, modelType: "llama", parameterCount: 1e5, availableBytes: 1e6, machine: USUAL_MACHINE };
    const text = planText({ ...about, ...request, run, methods }, false);
    expect(text).toContain("does not fit into the 976.6 KiB available");
    expect(text).toContain("not even one row of 64 tokens fits");
    expect(text).toContain("no length fits at batch 2");
    expect(text).toContain("Nothing fits at these sizes");
    expect(planText({ ...about, ...request, run, methods }, true)).not.toContain("peak");
  });

  test("writing needs less memory and time the fewer bits a weight has; formats that do not run yet are marked", async () => {
    const planner = new RunPlanner(await outlineModel(file), USUAL_MACHINE, 1e12);
    const formats = planner.inference(128);
    expect(formats.map(({ format, forecastOnly }) => [format, forecastOnly])).toEqual([
      ["fp32", false],
      ["fp16", false],
      ["int8", true],
      ["int4", true],
    ]);
    const weights = formats.map(({ weightBytes }) => weightBytes);
    expect(weights).toEqual(weights.toSorted((a, b) => b - a));
    expect(formats[3]!.tokensPerSecond).toBeGreaterThan(formats[0]!.tokensPerSecond);
    // Keys and values of 2 layers with 8 heads of 8, 128 tokens, float32.
    for (const { cacheBytes } of formats) expect(cacheBytes).toBe(2 * 2 * 8 * 8 * 128 * 4);
    expect(planner.inference(256)[0]!.peakBytes).toBeGreaterThan(formats[0]!.peakBytes);
    const about = { model: file, modelType: "llama", parameterCount: 1e5, availableBytes: 1e12, machine: USUAL_MACHINE };
    expect(inferenceText(about, 128, formats)).toMatch(/^int4 \* /m);
  });

  test("errors of earlier runs stand in a table with their middle and their largest", () => {
    const compared = (forecast: number, actual: number): { forecast: number; actual: number; error: number } => ({
      forecast,
      actual,
      error: forecast / actual - 1,
    });
    const text = accuracyText({
      runs: [
        { folder: "runs/a", memory: compared(1.1e9, 1e9), time: compared(9, 10) },
        { folder: "runs/b", memory: compared(1e9, 1e9), time: null },
      ],
      unfinished: ["runs/c"],
    });
    expect(text).toMatch(/runs\/a {3}.*\+10 % .*9\.0 s .*10\.0 s {3}−10\.0 %/);
    expect(text).toContain("memory: median error 5.0 %, largest 10 %");
    expect(text).toContain("time: median error 10.0 %, largest 10.0 %");
    expect(text).toContain("not finished: runs/c");
  });

  test("what is missing is said in one line", async () => {
    expect(await plan("--method", "lora")).toMatchObject({ code: 2, err: expect.stringMatching(/^error: --model is missing\n/) });
    expect((await plan("--model", join(folder, "absent"))).err).toMatch(/^error: .*absent: no such file or folder\n/);
    expect(await plan("--accuracy", "--runs", folder)).toMatchObject({ code: 2 });
  });
});

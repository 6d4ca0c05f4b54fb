import { describe, expect, test } from "vitest";
import type { StorageDtype } from "../core/dtype.ts";
import { takeInventory } from "../models/architecture.ts";
import { describeModel } from "../models/registry.ts";
import { USUAL_MACHINE } from "../plan/machine.ts";
import { planMemory } from "./memory-plan.ts";
import { RunForecaster, type RunSetting } from "./run-programs.ts";
import { plannedMethod, type RunSizes, settingOf } from "./run-setting.ts";
import type { MethodName } from "./methods/tuning-methods.ts";

const CONFIGS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  llama: {
    model_type: "llama",
    hidden_size: 64,
    intermediate_size: 172,
    num_hidden_layers: 3,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    vocab_size: 2000,
    tie_word_embeddings: true,
  },
  gpt2: { model_type: "gpt2", n_embd: 64, n_layer: 3, n_head: 4, n_positions: 512, vocab_size: 2000 },
  gpt_neox: {
    model_type: "gpt_neox",
    hidden_size: 64,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    intermediate_size: 256,
    vocab_size: 2000,
    max_position_embeddings: 512,
  },
  gptj: { model_type: "gptj", n_embd: 64, n_layer: 3, n_head: 4, n_positions: 512, rotary_dim: 8, vocab_size: 2000 },
};

const SIZES: RunSizes = {
  batchSize: 4,
  maxLength: 128,
  gradientAccumulation: 1,
  recompute: false,
  packWeights: false,
  labelled: 1,
  loraDropout: 0,
  maxGradNorm: 1,
  validation: true,
  samples: 1,
  sampleTokens: 8,
};

describe.each(Object.keys(CONFIGS))("forecasts of %s", (family) => {
  const architecture = describeModel(CONFIGS[family]!, "config.json");
  const inventory = takeInventory(architecture);
  const stored = (storage: StorageDtype): RunForecaster =>
    new RunForecaster(architecture, () => ({ location: "weights", offset: 0, bytes: 0, storage: storage }));
  const forecaster = stored("F32");
  const setting = (sizes: Partial<RunSizes> = {}, method: MethodName = "lora", rank = 8): RunSetting =>
    settingOf(plannedMethod(method, rank, { architecture, inventory }), { ...SIZES, ...sizes });
  const peak = (...parameters: Parameters<typeof setting>): number => forecaster.memory(setting(...parameters)).peakBytes;
  const seconds = (...parameters: Parameters<typeof setting>): number => forecaster.seconds(setting(...parameters), USUAL_MACHINE).step;

  test("the parts add up to the peak", () => {
    const { peakBytes, parts } = forecaster.memory(setting());
    expect(Object.values(parts).reduce((sum, bytes) => sum + bytes, 0)).toBe(peakBytes);
    for (const bytes of Object.values(parts)) expect(bytes).toBeGreaterThan(0);
  });

  test("more rows, longer rows and a higher rank need more memory and time", () => {
    for (const larger of [setting({ batchSize: 8 }), setting({ maxLength: 256 }), setting({}, "lora", 32)]) {
      expect(forecaster.memory(larger).peakBytes).toBeGreaterThan(peak());
      expect(forecaster.seconds(larger, USUAL_MACHINE).step).toBeGreaterThan(seconds());
    }
  });

  test("recomputing needs less memory and more time", () => {
    expect(peak({ recompute: true })).toBeLessThan(peak());
    expect(seconds({ recompute: true })).toBeGreaterThan(seconds());
  });

  test("a control branch needs more than its base alone, and more with longer controls and recomputation undone", () => {
    const run = setting({}, "control");
    const longer = { ...run, batch: { ...run.batch, controls: 2 * run.batch.controls! } };
    expect(run.batch.controls).toBe(64);
    expect(forecaster.memory(run).peakBytes).toBeGreaterThan(peak());
    expect(forecaster.memory(longer).peakBytes).toBeGreaterThan(forecaster.memory(run).peakBytes);
    expect(forecaster.seconds(longer, USUAL_MACHINE).step).toBeGreaterThan(forecaster.seconds(run, USUAL_MACHINE).step);
    expect(peak({ recompute: true }, "control")).toBeLessThan(peak({}, "control"));
  });

  test("training all weights needs more than training low-rank terms, where activations do not hide it", () => {
    const small = { batchSize: 1, maxLength: 32 };
    const [lora, full] = (["lora", "full"] as const).map((method) => forecaster.memory(setting(small, method)).parts);
    expect(full!.trainables + full!.optimiser).toBeGreaterThan(lora!.trainables + lora!.optimiser);
    expect(full!.weights).toBe(0);
  });

  test("fewer labelled places need less for logits; packed weights and further micro-batches need more", () => {
    expect(forecaster.memory(setting({ labelled: 1 / 3 })).parts.logits).toBeLessThan(forecaster.memory(setting()).parts.logits);
    expect(peak({ packWeights: true })).toBeGreaterThan(peak());
    expect(peak({ gradientAccumulation: 4 })).toBeGreaterThan(peak());
    expect(seconds({ gradientAccumulation: 4 })).toBeGreaterThan(3 * seconds());
  });

  test("half-precision weights need half the room, and time to widen them", () => {
    expect(stored("BF16").memory(setting()).parts.weights).toBeCloseTo(forecaster.memory(setting()).parts.weights / 2, -3);
    expect(stored("BF16").seconds(setting(), USUAL_MACHINE).step).toBeGreaterThan(seconds());
  });

  test("int8 layers of a step take a quarter of the room twice, one for each way round", () => {
    const [exact, fast] = [setting({ validation: false, samples: 0 }), { ...setting({ validation: false, samples: 0 }), fast: true }];
    const layers = inventory.linears.reduce((sum, { spec }) => sum + spec.inFeatures * spec.outFeatures, 0);
    const scales = inventory.linears.reduce((sum, { spec }) => sum + spec.inFeatures + spec.outFeatures, 0);
    const unread = forecaster.memory(exact).parts.weights - forecaster.memory(fast).parts.weights;
    // The first block's products have no use for the transpose where nothing before them is trained.
    expect(unread).toBeGreaterThanOrEqual(4 * layers - (2 * layers + 4 * scales));
    expect(unread).toBeLessThan(4 * layers - layers);
  });

  test("evaluations and answers add to the peak", () => {
    expect(peak({ validation: false, samples: 0 })).toBeLessThan(peak({ samples: 0 }));
    expect(peak({ samples: 0 })).toBeLessThan(peak());
  });

  test("every advice needs less than the run it is given for", () => {
    const run = setting({ packWeights: true }, "full");
    const plan = planMemory(forecaster, run, { words: "--method lora", method: () => plannedMethod("lora", 8, { architecture, inventory }) });
    const savings = plan.savings();
    expect(savings.map(({ words }) => words)).toEqual(
      expect.arrayContaining(["--batch-size 2 with twice the --gradient-accumulation", "--recompute", "--max-length 64", "--method lora"]),
    );
    for (const { peakBytes } of savings) expect(peakBytes).toBeLessThan(plan.forecast.peakBytes);
  });
});

test("int8 layers save time where they are wide, and none where they are narrow", () => {
  const ratio = (hiddenSize: number): number => {
    const architecture = describeModel({ ...CONFIGS["llama"], hidden_size: hiddenSize, intermediate_size: 3 * hiddenSize }, "config.json");
    const exact = settingOf(plannedMethod("lora", 8, { architecture, inventory: takeInventory(architecture) }), SIZES);
    const forecaster = new RunForecaster(architecture, () => ({ location: "weights", offset: 0, bytes: 0, storage: "F32" }));
    return forecaster.seconds({ ...exact, fast: true }, USUAL_MACHINE).step / forecaster.seconds(exact, USUAL_MACHINE).step;
  };
  expect(ratio(1024)).toBeLessThan(0.75);
  expect(ratio(64)).toBeGreaterThan(1);
});

/** What is read of AdapterHub's adapter_config.json, what is refused by name, and how it is written. */
import { cpSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenFolder } from "../../test/golden.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { describeModel } from "../models/registry.ts";
import { takeInventory } from "../models/architecture.ts";
import { newAdapter } from "../workbench/adapter.ts";
import { loadAdapter } from "../workbench/load-adapter.ts";
import { openModel } from "../workbench/open-model.ts";
import { saveAdapter } from "../workbench/save-adapter.ts";
import { bottleneck } from "./bottleneck.ts";
import { type BottleneckConfig, HOULSBY, PARALLEL, PFEIFFER, readBottleneckConfig, writeBottleneckConfig } from "./bottleneck-config.ts";
import { readMethod } from "./registry.ts";

const BASE = { modelType: "llama", hiddenSize: 64 };
const modelFolder = join(goldenFolder(), "models", "llama_gqa");
const architecture = describeModel(JSON.parse(readFileSync(join(modelFolder, "config.json"), "utf8")) as Record<string, unknown>, "config.json");
const inventory = takeInventory(architecture);

type Json = Record<string, unknown>;
const file = (usual: BottleneckConfig = HOULSBY): Json & { config: Json } => writeBottleneckConfig(usual, BASE, "base") as Json & { config: Json };
const read = (json: Json): BottleneckConfig => readBottleneckConfig(json, "adapter_config.json", BASE);
const withField = (field: string, value: unknown, usual = HOULSBY): Json => ({ ...file(usual), config: { ...file(usual).config, [field]: value } });

it.each([
  ["houlsby", HOULSBY],
  ["pfeiffer", PFEIFFER],
  ["parallel", PARALLEL],
])("%s: what is written is read the same", (_, config) => {
  expect(read(file(config))).toEqual(config);
  const all: BottleneckConfig = { ...config, name: "x", leaveOut: [1, 2], reductionFactor: { "0": 4, default: 8 }, dropout: 0.25, scaling: 0.5 };
  expect(read(file(all))).toEqual(all);
});

it("leaves out what AdapterHub fills in", () => {
  const { mh_adapter, output_adapter, reduction_factor, non_linearity } = file().config;
  expect(read({ name: "houlsby", version: "adapters.1.2.0", config: { mh_adapter, output_adapter, reduction_factor, non_linearity } })).toEqual(HOULSBY);
});

it.each([
  ["double_seq_bn", HOULSBY],
  ["houlsby", HOULSBY],
  ["seq_bn", PFEIFFER],
  ["pfeiffer", PFEIFFER],
  ["par_bn", PARALLEL],
  ["parallel", PARALLEL],
])("takes the name %s for a configuration", (config, expected) => {
  expect(read({ ...file(), config })).toEqual({ ...expected, name: "houlsby" });
});

it("reads activations as the version of the file means them", () => {
  const { version: _, ...old } = withField("non_linearity", "gelu");
  expect(read(old).nonLinearity).toBe("gelu_new");
  expect(read(withField("non_linearity", "GELU")).nonLinearity).toBe("gelu");
});

it("passes over what counts only beside other fields", () => {
  expect(read(withField("phm_dim", 8))).toEqual(HOULSBY);
  expect(read(withField("adapter_residual_before_ln", true))).toEqual(HOULSBY);
  expect(read(withField("original_ln_before", true, PARALLEL))).toEqual(PARALLEL);
  expect(read(withField("residual_before_ln", false, PARALLEL))).toEqual(PARALLEL);
});

describe("refuses", () => {
  it.each<[string, unknown]>([
    ["phm_layer", true],
    ["inv_adapter", "nice"],
    ["invertible_adapter", { block_type: "nice" }],
    ["ln_before", true],
    ["ln_after", true],
    ["original_ln_after", false],
    ["residual_before_ln", false],
    ["residual_before_ln", "post_add"],
    ["use_gating", true],
    ["cross_adapter", true],
    ["stochastic_depth", 0.1],
    ["scaling", "learned"],
    ["scaling", "channel"],
    ["a_field_of_the_future", "on"],
  ])("%s = %j, which is not supported", (field, value) => {
    expect(() => read(withField(field, value))).toThrow(`${field} = ${JSON.stringify(value)} is not supported`);
  });

  it.each<[string, unknown, string]>([
    ["mh_adapter", undefined, "mh_adapter is missing, needs true or false"],
    ["reduction_factor", 0, "reduction_factor is 0, needs a positive number"],
    ["reduction_factor", { first: 4 }, 'reduction_factor is {"first":4}, needs'],
    ["non_linearity", "leakyrelu", 'non_linearity is "leakyrelu", needs one of gelu,'],
    ["dropout", 1, "dropout is 1, needs a number from 0 to below 1"],
    ["init_weights", "xavier", 'init_weights is "xavier", needs one of mam_adapter, bert, houlsby'],
    ["leave_out", ["1"], 'leave_out is ["1"], needs a list of block numbers'],
    ["scaling", true, "scaling is true, needs a number"],
    ["is_parallel", "yes", 'is_parallel is "yes", needs true or false'],
    ["architecture", "prefix_tuning", 'architecture is "prefix_tuning"'],
    ["architecture", "union", 'architecture is "union"'],
  ])("%s = %j, which is wrong", (field, value, message) => {
    expect(() => read(withField(field, value))).toThrow(message);
  });

  it("an adapter that adapts nothing", () => {
    expect(() => read({ ...file(), config: { ...file().config, mh_adapter: false, output_adapter: false } })).toThrow("needs true where mh_adapter is false");
  });

  it("the names of other methods, files without a name, and what is no configuration", () => {
    for (const config of ["compacter", "scaled_par_bn", "seq_bn_inv", "toString"]) {
      expect(() => read({ ...file(), config })).toThrow(`config is "${config}"; supported are double_seq_bn`);
    }
    expect(() => read({ ...file(), config: [1] })).toThrow("config is [1], needs an object");
    expect(() => read({ ...file(), name: undefined })).toThrow("name is missing");
    expect(() => read({ ...file(), name: "a.b" })).toThrow('name is "a.b"');
  });

  it("another base, with the differences named", () => {
    const other = { ...file(), model_type: "gpt2", hidden_size: 768 };
    expect(() => readMethod(other, "adapter_config.json", architecture, inventory)).toThrow(
      'model_type is "gpt2", this base has "llama"; hidden_size is 768, this base has 64',
    );
  });

  it("blocks that the base lacks", () => {
    const make = (change: Partial<BottleneckConfig>) => () => bottleneck({ ...HOULSBY, ...change }, architecture, inventory);
    expect(make({ leaveOut: [3] })).toThrow("leave_out names block 3, which this model lacks");
    expect(make({ reductionFactor: { "7": 4, default: 2 } })).toThrow("reduction_factor names block 7, which this model lacks");
    expect(make({ reductionFactor: { "0": 4, "2": 2 } })).toThrow("reduction_factor names neither block 1 nor a default");
    expect(make({ leaveOut: [0, 1, 2] })).toThrow("leave_out names every block");
  });
});

it("makes a bottleneck at least one wide, and starts it within the paper's bounds", async () => {
  const method = bottleneck({ ...HOULSBY, reductionFactor: 1000, initWeights: "houlsby" }, architecture, inventory);
  const { tensors } = await newAdapter(method, await openModel(modelFolder), 3);
  const values = [...(tensors.get("model.layers.0.output_adapters.adapters.houlsby.adapter_down.0.weight")!.data as Float32Array)];
  expect(values.length).toBe(64);
  expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(Math.fround(0.02));
  // The deviation of a normal distribution cut off at two deviations is 0.88 of the whole one's.
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
  expect(Math.abs(deviation / 0.0088 - 1)).toBeLessThan(0.3);
});

describe("the folder", () => {
  it("writes floats as Python does, for AdapterHub takes a whole number for an unknown scaling", async () => {
    const model = await openModel(modelFolder);
    const folder = join(temporaryFolder(), "adapter");
    await saveAdapter(folder, await newAdapter(bottleneck(PARALLEL, architecture, inventory), model, 1), model);
    const text = readFileSync(join(folder, "adapter_config.json"), "utf8");
    for (const line of ['"scaling": 4.0,', '"dropout": 0.0,', '"stochastic_depth": 0.0,', '"reduction_factor": 2,']) expect(text).toContain(line);
  });

  it("with pickled weights alone is refused with what to do", async () => {
    const folder = join(temporaryFolder(), "bin");
    mkdirSync(folder);
    const golden = join(goldenFolder(), "bottleneck", "pfeiffer_llama_gqa");
    cpSync(join(golden, "adapter_config.json"), join(folder, "adapter_config.json"));
    cpSync(join(golden, "adapter.safetensors"), join(folder, "pytorch_adapter.bin"));
    const model = await openModel(modelFolder);
    const loading = loadAdapter(folder, model);
    await expect(loading).rejects.toMatchObject({
      code: "adapter",
      message: `${folder} holds pytorch_adapter.bin, and only adapter.safetensors is read`,
      hint: "Save the adapter with model.save_adapter(folder, name, use_safetensors=True).",
    });
    rmSync(join(folder, "pytorch_adapter.bin"));
    await expect(loadAdapter(folder, model)).rejects.toThrow("adapter.safetensors: cannot read");
  });
});

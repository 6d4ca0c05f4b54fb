/** The configuration of bottleneck adapters, to and from AdapterHub's adapter_config.json. */
import { GiantError } from "../base/errors.ts";
import { activation, activationNames } from "../nn/activation.ts";

/** What the bottleneck reads, where r is the stream before a sub-layer and y what the sub-layer adds to it. */
export type BottleneckInput = "output" | "stream" | "residual"; // y, r + y, r

/** How weights start; the three names are AdapterHub's. */
export type BottleneckStart = (typeof BOTTLENECK_STARTS)[number];
export const BOTTLENECK_STARTS = ["mam_adapter", "bert", "houlsby"] as const;

export interface BottleneckConfig {
  /** The adapter's name, which is part of its tensors' names. */
  readonly name: string;
  readonly reads: BottleneckInput;
  readonly afterAttention: boolean;
  readonly afterMlp: boolean;
  /** C / m, for all blocks or by the block's number, with "default" for those not named. */
  readonly reductionFactor: number | Readonly<Record<string, number>>;
  readonly nonLinearity: string;
  /** Blocks without an adapter, counted from 0. */
  readonly leaveOut: readonly number[];
  readonly scaling: number;
  /** Rate at which elements of the adapter's output are left out in training. */
  readonly dropout: number;
  readonly initWeights: BottleneckStart;
}

const COMMON = { leaveOut: [], dropout: 0, initWeights: "bert", reductionFactor: 16, scaling: 1 } as const;

/** AdapterHub's DoubleSeqBnConfig: Houlsby et al. 2019, arXiv 1902.00751. */
export const HOULSBY: BottleneckConfig = {
  ...COMMON,
  name: "houlsby",
  reads: "output",
  afterAttention: true,
  afterMlp: true,
  nonLinearity: "swish",
};

/** AdapterHub's SeqBnConfig: Pfeiffer et al. 2020, arXiv 2005.00247. */
export const PFEIFFER: BottleneckConfig = {
  ...COMMON,
  name: "pfeiffer",
  reads: "stream",
  afterAttention: false,
  afterMlp: true,
  nonLinearity: "relu",
};

/** AdapterHub's ParBnConfig: He et al. 2021, arXiv 2110.04366. */
export const PARALLEL: BottleneckConfig = {
  ...COMMON,
  name: "parallel",
  reads: "residual",
  afterAttention: false,
  afterMlp: true,
  nonLinearity: "relu",
  reductionFactor: 2,
  scaling: 4,
  initWeights: "mam_adapter",
};

/** What AdapterHub calls its configurations, first today's names and then the old ones. */
const NAMED: Readonly<Record<string, BottleneckConfig>> = {
  double_seq_bn: HOULSBY,
  seq_bn: PFEIFFER,
  par_bn: PARALLEL,
  houlsby: HOULSBY,
  pfeiffer: PFEIFFER,
  parallel: PARALLEL,
};

/** Fields that count only beside another one that is refused (phm_layer, ln_after, inv_adapter) or only where weights start. */
const INERT: ReadonlySet<string> = new Set([
  "adapter_residual_before_ln",
  "architecture", // read before the others
  "factorized_phm_W",
  "factorized_phm_rule",
  "hypercomplex_nonlinearity",
  "init_weights_seed",
  "inv_adapter_reduction_factor",
  "learn_phm",
  "phm_bias",
  "phm_c_init",
  "phm_dim",
  "phm_init_range",
  "phm_rank",
  "shared_W_phm",
  "shared_phm_rule",
]);

const READ: ReadonlySet<string> = new Set([
  "dropout",
  "init_weights",
  "is_parallel",
  "leave_out",
  "mh_adapter",
  "non_linearity",
  "original_ln_after",
  "original_ln_before",
  "output_adapter",
  "reduction_factor",
  "residual_before_ln",
  "scaling",
]);

/** Files from before version numbers were written mean other functions by these names (adapters/utils.py). */
const OLD_ACTIVATIONS: Readonly<Record<string, string>> = { gelu: "gelu_new", gelu_orig: "gelu" };

type Json = Readonly<Record<string, unknown>>;

/** What AdapterHub says of the model an adapter was made for. */
export interface AdaptedModel {
  readonly modelType: string;
  readonly hiddenSize: number;
}

/** Whether a value says "without", as absent fields do. */
const isNeutral = (value: unknown): boolean => value === null || value === undefined || value === false || value === 0;

/**
 * Reads AdapterHub's adapter_config.json for a base.
 * @throws GiantError("adapter") naming a field with a wrong value, an option that is set and not supported, or another base.
 */
export function readBottleneckConfig(json: Json, where: string, base: AdaptedModel): BottleneckConfig {
  checkModel(json, where, base);
  const name = json["name"];
  if (typeof name !== "string" || name === "" || name.includes(".")) {
    throw new GiantError("adapter", `${where}: name is ${JSON.stringify(name) ?? "missing"}, needs the adapter's name, without a dot`);
  }
  const config = json["config"];
  if (typeof config === "string") {
    if (Object.hasOwn(NAMED, config)) return { ...NAMED[config]!, name };
    throw new GiantError("adapter", `${where}: config is ${JSON.stringify(config)}; supported are ${Object.keys(NAMED).join(", ")}`, {
      hint: "Use the adapter with AdapterHub's own library.",
    });
  }
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new GiantError("adapter", `${where}: config is ${JSON.stringify(config)}, needs an object or the name of one`);
  }
  return { name, ...readFields(config as Json, `${where}: config`, json["version"] === undefined) };
}

function checkModel(json: Json, where: string, { modelType, hiddenSize }: AdaptedModel): void {
  const differences = Object.entries({ model_type: modelType, hidden_size: hiddenSize })
    .filter(([field, own]) => json[field] !== undefined && json[field] !== null && json[field] !== own)
    .map(([field, own]) => `${field} is ${JSON.stringify(json[field])}, this base has ${JSON.stringify(own)}`);
  if (differences.length === 0) return;
  throw new GiantError("adapter", `${where}: ${differences.join("; ")}`, { hint: "Name the base the adapter was trained on." });
}

function readFields(json: Json, where: string, old: boolean): Omit<BottleneckConfig, "name"> {
  const architecture = json["architecture"] ?? null;
  if (architecture !== null && architecture !== "bottleneck") {
    throw new GiantError("adapter", `${where}: architecture is ${JSON.stringify(architecture)}; of AdapterHub's only bottleneck adapters are supported`, {
      hint: "Use the adapter with AdapterHub's own library.",
    });
  }
  const wrong = (field: string, needed: string): GiantError =>
    new GiantError("adapter", `${where}: ${field} is ${JSON.stringify(json[field]) ?? "missing"}, needs ${needed}`);
  const flag = (field: string, fallback?: boolean): boolean => {
    const value = json[field] ?? fallback;
    if (typeof value !== "boolean") throw wrong(field, "true or false");
    return value;
  };
  const isParallel = flag("is_parallel", false);
  const lnBefore = flag("original_ln_before", false);
  const unsupported = Object.keys(json).filter((field) => !INERT.has(field) && !READ.has(field) && !isNeutral(json[field]));
  // Without a norm behind the sub-layer, which no family here has, AdapterHub's other settings lose the residual or add it twice.
  if (!flag("original_ln_after", true)) unsupported.push("original_ln_after");
  if (!isParallel && (json["residual_before_ln"] ?? true) !== true) unsupported.push("residual_before_ln");
  if (typeof json["scaling"] === "string") unsupported.push("scaling");
  if (unsupported.length > 0) {
    throw new GiantError("adapter", `${where}: ${unsupported.map((field) => `${field} = ${JSON.stringify(json[field])}`).join(", ")} is not supported`, {
      hint: "Use the adapter with AdapterHub's own library.",
      facts: { unsupported },
    });
  }
  const [afterAttention, afterMlp] = [flag("mh_adapter"), flag("output_adapter")];
  if (!afterAttention && !afterMlp) throw wrong("output_adapter", "true where mh_adapter is false");
  const scaling = json["scaling"] ?? 1;
  if (typeof scaling !== "number") throw wrong("scaling", "a number");
  const dropout = json["dropout"] ?? 0;
  if (typeof dropout !== "number" || !(dropout >= 0 && dropout < 1)) throw wrong("dropout", "a number from 0 to below 1");
  const start = json["init_weights"] ?? "bert";
  const initWeights = BOTTLENECK_STARTS.find((known) => known === start);
  if (initWeights === undefined) throw wrong("init_weights", `one of ${BOTTLENECK_STARTS.join(", ")}`);
  const named = json["non_linearity"];
  const lower = typeof named === "string" ? named.toLowerCase() : "";
  const nonLinearity = old ? (OLD_ACTIVATIONS[lower] ?? lower) : lower;
  if (activation(nonLinearity) === undefined) throw wrong("non_linearity", `one of ${activationNames.join(", ")}`);
  const leaveOut: unknown = json["leave_out"] ?? [];
  if (!Array.isArray(leaveOut) || !leaveOut.every((layer): layer is number => Number.isInteger(layer))) throw wrong("leave_out", "a list of block numbers");
  const reductionFactor = json["reduction_factor"];
  if (!isFactor(reductionFactor)) throw wrong("reduction_factor", 'a positive number, or such numbers by block as {"0": 8, "default": 16}');
  return {
    reads: isParallel ? "residual" : lnBefore ? "stream" : "output",
    afterAttention,
    afterMlp,
    reductionFactor,
    nonLinearity,
    leaveOut,
    scaling,
    dropout,
    initWeights,
  };
}

function isFactor(value: unknown): value is BottleneckConfig["reductionFactor"] {
  if (typeof value === "number") return value > 0;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.entries(value).every(([layer, factor]) => (layer === "default" || /^\d+$/.test(layer)) && typeof factor === "number" && factor > 0);
}

/** Names of transformers' classes, which AdapterHub writes down and never reads for an adapter. */
const MODEL_CLASSES: Readonly<Record<string, string>> = {
  gpt2: "GPT2LMHeadModel",
  gpt_neox: "GPTNeoXForCausalLM",
  gptj: "GPTJForCausalLM",
  llama: "LlamaForCausalLM",
  mistral: "MistralForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
  smollm3: "SmolLM3ForCausalLM",
};

/** Numbers that AdapterHub takes for unknown when they are written as whole ones. */
export const BOTTLENECK_FLOATS: readonly string[] = ["dropout", "scaling", "stochastic_depth"];

/** Writes adapter_config.json with all fields of AdapterHub's, in their order; `name` is how the base is named there. */
export function writeBottleneckConfig(config: BottleneckConfig, { modelType, hiddenSize }: AdaptedModel, name: string): Record<string, unknown> {
  return {
    config: {
      adapter_residual_before_ln: false,
      cross_adapter: false,
      dropout: config.dropout,
      factorized_phm_W: true,
      factorized_phm_rule: false,
      hypercomplex_nonlinearity: "glorot-uniform",
      init_weights: config.initWeights,
      init_weights_seed: null,
      inv_adapter: null,
      inv_adapter_reduction_factor: null,
      is_parallel: config.reads === "residual",
      learn_phm: true,
      leave_out: config.leaveOut,
      ln_after: false,
      ln_before: false,
      mh_adapter: config.afterAttention,
      non_linearity: config.nonLinearity,
      original_ln_after: true,
      original_ln_before: config.reads === "stream",
      output_adapter: config.afterMlp,
      phm_bias: true,
      phm_c_init: "normal",
      phm_dim: 4,
      phm_init_range: 0.0001,
      phm_layer: false,
      phm_rank: 1,
      reduction_factor: config.reductionFactor,
      residual_before_ln: true,
      scaling: config.scaling,
      shared_W_phm: false,
      shared_phm_rule: true,
      stochastic_depth: 0,
      use_gating: false,
    },
    hidden_size: hiddenSize,
    model_class: MODEL_CLASSES[modelType] ?? null,
    model_name: name,
    model_type: modelType,
    name: config.name,
    // The version whose layout this is; without one AdapterHub reads the names of activations as it did long ago.
    version: "adapters.1.2.0",
  };
}

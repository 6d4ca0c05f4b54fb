/** LoRA's configuration, to and from PEFT's adapter_config.json. */
import { AdapterConfig } from "./adapter-config.ts";
import type { TargetRules } from "./targets.ts";

export interface LoraConfig extends TargetRules {
  /** Rank of the update. */
  readonly r: number;
  readonly loraAlpha: number;
  readonly loraDropout: number;
  /** α/√r in place of α/r (Kalajdzievski 2023, arXiv 2312.03732). */
  readonly useRslora: boolean;
  /** A trained magnitude per output beside the direction (Liu et al. 2024, arXiv 2402.09353). */
  readonly useDora: boolean;
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  /** Which biases are trained too. */
  readonly bias: "none" | "all" | "lora_only";
  /** Modules trained and saved whole. */
  readonly modulesToSave: readonly string[];
  /** "gaussian" draws A from N(0, 1/r); otherwise Kaiming-uniform, as PEFT's `true`. */
  readonly initLoraWeights: "default" | "gaussian";
}

export const LORA_DEFAULTS: LoraConfig = {
  targetModules: "all-linear",
  r: 16,
  loraAlpha: 32,
  loraDropout: 0,
  useRslora: false,
  useDora: false,
  rankPattern: {},
  alphaPattern: {},
  bias: "none",
  modulesToSave: [],
  initLoraWeights: "default",
};

/** Fields of LoRA's that say nothing about the arithmetic. */
const INERT: readonly string[] = [
  "megatron_core",
  "fan_in_fan_out", // the model says itself how its weights are stored
  "qalora_group_size", // read only together with use_qalora
  "runtime_config",
  "loftq_config",
  "eva_config",
  "corda_config",
  "lora_ga_config", // how the weights were initialised
];

const READ: readonly string[] = [
  "r",
  "lora_alpha",
  "lora_dropout",
  "use_rslora",
  "use_dora",
  "rank_pattern",
  "alpha_pattern",
  "bias",
  "modules_to_save",
  "init_lora_weights",
  "target_modules",
  "exclude_modules",
  "layers_to_transform",
  "layers_pattern",
];

/** Values of init_lora_weights that leave the base as it is; others (PiSSA, OLoRA, …) take the start away from its weights. */
const PLAIN_STARTS: ReadonlySet<unknown> = new Set([true, false, null, undefined, "gaussian", "eva", "orthogonal"]);

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads adapter_config.json.
 * @throws GiantError("adapter") naming a field with a wrong value, or an option that is set and not supported.
 */
export function readLoraConfig(json: Json, where: string): LoraConfig {
  const config = new AdapterConfig(json, where, READ, INERT, {
    unsupported: PLAIN_STARTS.has(json["init_lora_weights"]) ? [] : ["init_lora_weights"],
    hint: "Merge this adapter with the tool that made it, and use the merged model.",
  });
  const names = (field: string): string | readonly string[] | undefined => (config.isSet(field) ? config.names(field) : undefined);
  const pattern = (field: string, valid: (n: number) => boolean): Readonly<Record<string, number>> => {
    const value = json[field];
    if (!config.isSet(field)) return {};
    if (typeof value !== "object" || !Object.values(value!).every((n) => typeof n === "number" && valid(n))) {
      throw config.wrong(field, "positive numbers by name");
    }
    return value as Record<string, number>;
  };
  const targetModules = names("target_modules");
  if (targetModules === undefined) throw config.wrong("target_modules", "module names");
  const layers = json["layers_to_transform"];
  const saved = names("modules_to_save");
  return {
    r: config.positiveInteger("r", 8),
    loraAlpha: config.number("lora_alpha", 8, (n) => n > 0, "a positive number"),
    loraDropout: config.number("lora_dropout", 0, (n) => n >= 0 && n < 1, "a number from 0 to below 1"),
    useRslora: json["use_rslora"] === true,
    useDora: json["use_dora"] === true,
    rankPattern: pattern("rank_pattern", (n) => Number.isInteger(n) && n > 0),
    alphaPattern: pattern("alpha_pattern", (n) => n > 0),
    bias: config.choice("bias", ["none", "all", "lora_only"], "none"),
    modulesToSave: saved === undefined ? [] : typeof saved === "string" ? [saved] : saved,
    initLoraWeights: json["init_lora_weights"] === "gaussian" ? "gaussian" : "default",
    targetModules,
    excludeModules: names("exclude_modules"),
    layersToTransform: config.isSet("layers_to_transform") ? (Array.isArray(layers) ? (layers as number[]) : [layers as number]) : undefined,
    layersPattern: names("layers_pattern"),
  };
}

/** Writes adapter_config.json with the fields PEFT reads; targets are the module paths that were really adapted. */
export function writeLoraConfig(config: LoraConfig, base: string, targets: readonly string[], fanInFanOut: boolean): Record<string, unknown> {
  const names = (value: string | readonly string[] | undefined): unknown => value ?? null;
  return {
    alpha_pattern: config.alphaPattern,
    auto_mapping: null,
    base_model_name_or_path: base,
    bias: config.bias,
    exclude_modules: names(config.excludeModules),
    fan_in_fan_out: fanInFanOut,
    inference_mode: true,
    init_lora_weights: config.initLoraWeights === "gaussian" ? "gaussian" : true,
    layers_pattern: names(config.layersPattern),
    layers_to_transform: config.layersToTransform ?? null,
    lora_alpha: config.loraAlpha,
    lora_bias: false,
    lora_dropout: config.loraDropout,
    modules_to_save: config.modulesToSave.length === 0 ? null : config.modulesToSave,
    peft_type: "LORA",
    r: config.r,
    rank_pattern: config.rankPattern,
    revision: null,
    target_modules: config.targetModules === "all-linear" ? shortNames(targets) : config.targetModules,
    task_type: "CAUSAL_LM",
    use_dora: config.useDora,
    use_rslora: config.useRslora,
  };
}

/** Last parts of paths, each once, sorted: as PEFT stores what "all-linear" found. */
function shortNames(paths: readonly string[]): string[] {
  return [...new Set(paths.map((path) => path.slice(path.lastIndexOf(".") + 1)))].toSorted();
}

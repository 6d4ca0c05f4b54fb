/** IA3's configuration, to and from PEFT's adapter_config.json, and its usual targets by model type. */
import { GiantError } from "../base/errors.ts";
import { AdapterConfig } from "./adapter-config.ts";

type Names = string | readonly string[];

export interface Ia3Config {
  /** Modules that are scaled: names, a regular expression, or "all-linear"; by default those of the model type. */
  readonly targetModules?: Names | undefined;
  readonly excludeModules?: Names | undefined;
  /** Those of the targets whose input is scaled, and not their output. */
  readonly feedforwardModules?: Names | undefined;
}

/** The targets of a configuration that names them. */
export interface Ia3Targets {
  readonly targetModules: Names;
  readonly excludeModules?: Names | undefined;
  readonly feedforwardModules: Names;
}

const LLAMA = { targetModules: ["k_proj", "v_proj", "down_proj"], feedforwardModules: ["down_proj"] };
const QWEN = { targetModules: ["q_proj", "v_proj", "down_proj"], feedforwardModules: ["down_proj"] };

/** PEFT's tables (utils/constants.py); SmolLM3, which they lack, has LLaMA's layers. */
const USUAL: Readonly<Record<string, Ia3Targets>> = {
  llama: LLAMA,
  mistral: LLAMA,
  smollm3: LLAMA,
  qwen2: QWEN,
  qwen3: QWEN,
  gpt2: { targetModules: ["c_attn", "mlp.c_proj"], feedforwardModules: ["mlp.c_proj"] },
  gptj: { targetModules: ["q_proj", "v_proj", "fc_out"], feedforwardModules: ["fc_out"] },
  gpt_neox: { targetModules: ["query_key_value", "dense_4h_to_h"], feedforwardModules: ["dense_4h_to_h"] },
};

/**
 * Reads adapter_config.json.
 * @throws GiantError("adapter") naming a field with a wrong value, or an option that is set and not supported.
 */
export function readIa3Config(json: Readonly<Record<string, unknown>>, where: string): Ia3Config {
  // The model says itself how its weights are stored, and how the scales began is of no more interest.
  const inert = ["fan_in_fan_out", "init_ia3_weights"];
  const config = new AdapterConfig(json, where, ["target_modules", "exclude_modules", "feedforward_modules"], inert);
  return {
    targetModules: config.names("target_modules"),
    excludeModules: config.names("exclude_modules"),
    feedforwardModules: config.names("feedforward_modules"),
  };
}

/**
 * The targets with the model type's usual ones filled in.
 * @throws GiantError("adapter") when a list of feed-forward modules names what is no target, or a model type has none of its own.
 */
export function ia3Targets({ targetModules, excludeModules, feedforwardModules }: Ia3Config, modelType: string): Ia3Targets {
  const usual = USUAL[modelType];
  if (usual === undefined && (targetModules === undefined || feedforwardModules === undefined)) {
    throw new GiantError("adapter", `IA3 has no usual target_modules and feedforward_modules for ${modelType}`, { hint: "Name both." });
  }
  const targets = targetModules ?? usual!.targetModules;
  const feedforward = feedforwardModules ?? usual!.feedforwardModules;
  if (typeof targets !== "string" && typeof feedforward !== "string") {
    const others = feedforward.filter((name) => !targets.includes(name));
    if (others.length > 0) {
      throw new GiantError("adapter", `feedforward_modules names ${others.join(", ")}, which target_modules ${JSON.stringify(targets)} does not`, {
        hint: "Name in target_modules all that is scaled, and in feedforward_modules those of them whose input is.",
      });
    }
  }
  return { targetModules: targets, excludeModules, feedforwardModules: feedforward };
}

/** Writes adapter_config.json with the fields PEFT reads. */
export function writeIa3Config(targets: Ia3Targets, base: string, fanInFanOut: boolean): Record<string, unknown> {
  return {
    auto_mapping: null,
    base_model_name_or_path: base,
    exclude_modules: targets.excludeModules ?? null,
    fan_in_fan_out: fanInFanOut,
    feedforward_modules: targets.feedforwardModules,
    inference_mode: true,
    init_ia3_weights: true,
    modules_to_save: null,
    peft_type: "IA3",
    revision: null,
    target_modules: targets.targetModules,
    task_type: "CAUSAL_LM",
  };
}

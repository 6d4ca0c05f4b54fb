/** LLaMA-Adapter's configuration, to and from PEFT's adapter_config.json. */
import { AdapterConfig } from "./adapter-config.ts";

export interface AdaptionPromptConfig {
  /** Rows of each layer's prompt (M). */
  readonly adapterLen: number;
  /** How many layers have one, counted from the last. */
  readonly adapterLayers: number;
  /** Name of the attention modules; by default the base's own. */
  readonly targetModules?: string | undefined;
}

/**
 * Reads adapter_config.json.
 * @throws GiantError("adapter") naming a field with a wrong value, or an option that is set and not supported.
 */
export function readAdaptionPromptConfig(json: Readonly<Record<string, unknown>>, where: string): AdaptionPromptConfig {
  const config = new AdapterConfig(json, where, ["adapter_len", "adapter_layers", "target_modules"]);
  return {
    adapterLen: config.positiveInteger("adapter_len"),
    adapterLayers: config.positiveInteger("adapter_layers"),
    targetModules: config.text("target_modules"),
  };
}

/** Writes adapter_config.json with the fields PEFT reads; `attention` is the name of the attention modules. */
export function writeAdaptionPromptConfig({ adapterLen, adapterLayers }: AdaptionPromptConfig, base: string, attention: string): Record<string, unknown> {
  return {
    adapter_layers: adapterLayers,
    adapter_len: adapterLen,
    auto_mapping: null,
    base_model_name_or_path: base,
    inference_mode: true,
    peft_type: "ADAPTION_PROMPT",
    revision: null,
    target_modules: attention,
    task_type: "CAUSAL_LM",
  };
}

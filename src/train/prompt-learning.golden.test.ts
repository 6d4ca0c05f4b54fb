import { existsSync } from "node:fs";
import { join } from "node:path";
import { describeAdapterCases } from "../../test/golden-adapter.ts";
import { readJson } from "../../test/golden.ts";
import { floats } from "../core/dtype.ts";
import { readSafetensorsHeader, readTensor } from "../io/safetensors.ts";
import { prefixInTraining } from "../peft/prefix.ts";
import { readPrefixConfig } from "../peft/prefix-config.ts";

describeAdapterCases({
  kind: "prompt_learning",
  weightsFile: "adapter_model.safetensors",
  configFields: [
    "peft_type",
    "task_type",
    "num_virtual_tokens",
    "token_dim",
    "num_layers",
    "num_attention_heads",
    "num_transformer_submodules",
    "encoder_hidden_size",
    "prefix_projection",
    "prompt_tuning_init",
    "modules_to_save",
  ],
  /** With a projection PEFT trains the encoder and saves what it computes. */
  async inTraining(folder, { architecture, inventory }) {
    const encoder = join(folder, "encoder.safetensors");
    if (!existsSync(encoder)) return undefined;
    const config = readPrefixConfig(readJson(folder, "adapter_config.json"), folder, architecture);
    const tensors = new Map();
    for (const [name, entry] of (await readSafetensorsHeader(encoder)).entries) tensors.set(name, floats(entry.shape, await readTensor(entry)));
    return { adapter: { method: prefixInTraining(config, inventory, architecture), tensors }, final: "final_encoder.safetensors" };
  },
});

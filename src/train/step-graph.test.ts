import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { print } from "../core/print.ts";
import { takeInventory } from "../models/architecture.ts";
import { describeModel } from "../models/registry.ts";
import { lora } from "../peft/lora.ts";
import { LORA_DEFAULTS } from "../peft/lora-config.ts";
import { stepGraph } from "./step-graph.ts";

it("the training step of a one-layer llama under LoRA is the one on record", async () => {
  const config = {
    model_type: "llama",
    hidden_size: 8,
    intermediate_size: 12,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    vocab_size: 16,
  };
  const architecture = describeModel(config, "config.json");
  const method = lora({ ...LORA_DEFAULTS, r: 2, targetModules: ["q_proj", "down_proj"] }, takeInventory(architecture), architecture.head);
  const record = fileURLToPath(new URL("../../test/text/llama-lora-step.txt", import.meta.url));
  await expect(print(stepGraph(architecture, method, {}))).toMatchFileSnapshot(record);
});

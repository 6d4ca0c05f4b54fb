import { describeAdapterCases } from "../../test/golden-adapter.ts";

describeAdapterCases({
  kind: "lora",
  weightsFile: "adapter_model.safetensors",
  configFields: [
    "peft_type",
    "task_type",
    "r",
    "lora_alpha",
    "lora_dropout",
    "use_rslora",
    "use_dora",
    "bias",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "layers_to_transform",
    "fan_in_fan_out",
  ],
});

import { describeAdapterCases } from "../../test/golden-adapter.ts";

describeAdapterCases({
  kind: "adaption_prompt",
  weightsFile: "adapter_model.safetensors",
  configFields: ["peft_type", "task_type", "adapter_len", "adapter_layers", "target_modules"],
});

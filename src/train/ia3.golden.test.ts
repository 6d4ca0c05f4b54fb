import { describeAdapterCases } from "../../test/golden-adapter.ts";

describeAdapterCases({
  kind: "ia3",
  weightsFile: "adapter_model.safetensors",
  configFields: ["peft_type", "task_type", "target_modules", "feedforward_modules", "exclude_modules", "fan_in_fan_out", "init_ia3_weights", "modules_to_save"],
});

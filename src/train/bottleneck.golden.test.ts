import { describeAdapterCases } from "../../test/golden-adapter.ts";

describeAdapterCases({
  kind: "bottleneck",
  weightsFile: "adapter.safetensors",
  configFields: ["config", "hidden_size", "model_class", "model_type", "name", "version"],
});

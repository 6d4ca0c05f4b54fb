import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { describeAdapterCases } from "../../test/golden-adapter.ts";
import { goldenCases } from "../../test/golden.ts";
import { QUANTIZED_TRAINING_NORM } from "../../test/tolerance.ts";
import { readSafetensorsHeader, readTensor } from "../io/safetensors.ts";
import { openModel } from "../workbench/open-model.ts";

describe.each(goldenCases("qlora"))("qlora/$name", ({ name, folder }) => {
  it("reads a checkpoint of bitsandbytes to the same bits", async () => {
    const model = await openModel(folder);
    const { entries } = await readSafetensorsHeader(join(folder, "dequantized_weights.safetensors"));
    for (const parameter of model.inventory.parameters.keys()) {
      if (model.isPacked(parameter)) expect(await model.read(parameter), parameter).toEqual(await readTensor(entries.get(parameter)!));
    }
    expect([...model.inventory.parameters.keys()].filter((parameter) => model.isPacked(parameter))).toHaveLength(21);
  });

  describeAdapterCases({
    kind: join("qlora", name),
    weightsFile: "adapter_model.safetensors",
    configFields: ["peft_type", "r", "lora_alpha"],
    base: dirname,
    normTolerance: QUANTIZED_TRAINING_NORM,
  });
});

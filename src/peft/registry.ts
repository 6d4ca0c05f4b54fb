/** Finds the method of an adapter folder by its adapter_config.json. */
import { GiantError } from "../base/errors.ts";
import type { BaseModel } from "../nn/decoder.ts";
import type { Inventory } from "../nn/inventory.ts";
import { readAdaptionPromptConfig } from "./adaption-prompt-config.ts";
import { adaptionPrompt } from "./adaption-prompt.ts";
import { readBottleneckConfig } from "./bottleneck-config.ts";
import { bottleneck } from "./bottleneck.ts";
import { CONTROL_TYPE, readControlConfig } from "./control-config.ts";
import { control } from "./control.ts";
import { readIa3Config } from "./ia3-config.ts";
import { ia3 } from "./ia3.ts";
import { readLoraConfig } from "./lora-config.ts";
import { lora } from "./lora.ts";
import type { AdaptationMethod } from "./method.ts";
import { readPrefixConfig } from "./prefix-config.ts";
import { prefix } from "./prefix.ts";
import { readPromptTuningConfig } from "./prompt-tuning-config.ts";
import { promptTuning } from "./prompt-tuning.ts";

type Json = Readonly<Record<string, unknown>>;

/** Binds what a configuration says to a base; `where` names the file in messages. */
type Reader = (json: Json, where: string, base: BaseModel, inventory: Inventory) => AdaptationMethod;

/** By PEFT's `peft_type`, or our own for what PEFT does not have. */
const READERS: Readonly<Record<string, Reader>> = {
  ADAPTION_PROMPT: (json, where, base, inventory) => adaptionPrompt(readAdaptionPromptConfig(json, where), inventory, base),
  IA3: (json, where, base, inventory) => ia3(readIa3Config(json, where), inventory, base),
  LORA: (json, where, base, inventory) => lora(readLoraConfig(json, where), inventory, base.head),
  PREFIX_TUNING: (json, where, base, inventory) => prefix(readPrefixConfig(json, where, base), inventory, base),
  PROMPT_TUNING: (json, where, base, inventory) => promptTuning(readPromptTuningConfig(json, where, base), inventory, base),
  [CONTROL_TYPE]: (json, where, base, inventory) => control(readControlConfig(json, where), base, inventory),
};

/**
 * The method that an adapter_config.json describes, bound to a base.
 * @throws GiantError("adapter") for an unknown method, an option that is set and not supported, or a base that does not fit.
 */
export function readMethod(json: Json, where: string, base: BaseModel, inventory: Inventory): AdaptationMethod {
  // AdapterHub's configurations lie one level deeper and name no type.
  if (json["peft_type"] === undefined && json["config"] !== undefined) return bottleneck(readBottleneckConfig(json, where, base), base, inventory);
  const type = json["peft_type"];
  const reader = typeof type === "string" && Object.hasOwn(READERS, type) ? READERS[type] : undefined;
  if (reader === undefined) {
    throw new GiantError("adapter", `${where}: peft_type is ${JSON.stringify(type) ?? "missing"}; supported are ${Object.keys(READERS).join(", ")}`, {
      hint: "The adapter is of another method, or this is not an adapter's configuration.",
    });
  }
  return reader(json, where, base, inventory);
}

/** QLoRA's own options: how its base is quantised. The others are LoRA's. */
import type { OptionTable } from "../../base/options.ts";

export interface QloraOptions {
  readonly doubleQuant: boolean;
  readonly quantBlockSize: number;
  readonly quantizedCache?: string;
}

const GROUP = "QLoRA";

export const QLORA_OPTIONS: OptionTable<QloraOptions> = {
  doubleQuant: { group: GROUP, type: "boolean", default: true, help: "keep the blocks' magnitudes in eight bits" },
  quantBlockSize: { group: GROUP, type: "integer", minimum: 2, default: 64, unit: "weights", help: "weights that share a magnitude" },
  quantizedCache: {
    group: GROUP,
    type: "path",
    placeholder: "DIR",
    defaultText: ".mini-giants in the model's folder",
    help: "folder of the base in four bits; written once and used again",
  },
};

/** The base that a method computes with, as `tune` opens it. */
import type { MethodName } from "../src/train/methods/tuning-methods.ts";
import { openModel, type OpenModel } from "../src/workbench/open-model.ts";
import { openQuantized, quantizedFolder } from "../src/workbench/quantize-model.ts";

/** `tune`'s defaults for a base in four bits. */
const FOUR_BITS = { blockSize: 64, doubleQuant: true };

/** The model of a folder; for QLoRA its form in four bits, which is written once. */
export async function openBase(folder: string, method: MethodName | undefined): Promise<OpenModel> {
  const stored = await openModel(folder);
  return method === "qlora" ? await openQuantized(stored, quantizedFolder(stored, FOUR_BITS), FOUR_BITS) : stored;
}

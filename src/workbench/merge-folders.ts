/** Merges adapter folders into their base's folder and writes the result: opens what it needs and closes it again. */
import { GiantError } from "../base/errors.ts";
import { listFolder } from "../io/folder.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { readAdapterChoices } from "./adapter-choice.ts";
import { concatenateAdapters, sumAdapters, type WeightedAdapter } from "./adapter-sum.ts";
import { loadAdapter } from "./load-adapter.ts";
import { mergeAdapter } from "./merge.ts";
import { openModel } from "./open-model.ts";
import { saveAdapter } from "./save-adapter.ts";

export interface MergeOptions {
  readonly model: string;
  /** Each `DIR`, or `DIR=WEIGHT`. */
  readonly adapter: readonly string[];
  readonly output: string;
  /** Writes the adapters' sum as one LoRA adapter, and no model. */
  readonly asAdapter: boolean;
}

/**
 * Writes base + adapters as a model folder that needs no adapter, or the adapters' sum as one adapter; an output folder with
 * something in it is refused. One adapter of weight 1 may be of any method that can be merged; a sum consists of LoRA adapters.
 */
export async function mergeFolders(options: MergeOptions): Promise<void> {
  const choices = readAdapterChoices(options.adapter);
  if (choices.length === 0) throw new GiantError("usage", "--adapter is missing", { hint: "--adapter DIR names what is merged." });
  if ((await listFolder(options.output)).length > 0) {
    throw new GiantError("usage", `${options.output}: found other files, needed a new or empty folder`, { hint: "Name another --output." });
  }
  const model = await openModel(options.model);
  const parts: WeightedAdapter[] = [];
  for (const { folder, weight } of choices) parts.push({ name: folder, weight, adapter: await loadAdapter(folder, model) });
  if (options.asAdapter) return await saveAdapter(options.output, await concatenateAdapters(parts, model), model);
  const [first, ...others] = parts;
  const adapter = others.length === 0 && first!.weight === 1 ? first!.adapter : sumAdapters(parts);
  // The CPU's products are the most exact, and each weight is touched only once.
  const engine = await startEngine({ device: "cpu" });
  try {
    await mergeAdapter(engine, model, adapter, options.output);
  } finally {
    await engine.close();
  }
}

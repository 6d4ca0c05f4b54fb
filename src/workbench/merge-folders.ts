/** Merges an adapter folder into its base's folder and writes the result: opens what it needs and closes it again. */
import { GiantError } from "../base/errors.ts";
import { listFolder } from "../io/folder.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { loadAdapter } from "./load-adapter.ts";
import { mergeAdapter } from "./merge.ts";
import { openModel } from "./open-model.ts";

export interface MergeOptions {
  readonly model: string;
  readonly adapter: string;
  readonly output: string;
}

/** Writes base + adapter as a model folder that needs no adapter; an output folder with something in it is refused. */
export async function mergeFolders(options: MergeOptions): Promise<void> {
  if ((await listFolder(options.output)).length > 0) {
    throw new GiantError("usage", `${options.output}: found other files, needed a new or empty folder`, { hint: "Name another --output." });
  }
  const model = await openModel(options.model);
  const adapter = await loadAdapter(options.adapter, model);
  // The CPU's products are the most exact, and each weight is touched only once.
  const engine = await startEngine({ device: "cpu" });
  try {
    await mergeAdapter(engine, model, adapter, options.output);
  } finally {
    await engine.close();
  }
}

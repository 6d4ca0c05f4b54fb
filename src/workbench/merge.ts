/** Merges an adapter into its base: the result is a model folder that needs no adapter. */
import { GiantError } from "../base/errors.ts";
import type { HostTensor } from "../core/dtype.ts";
import { input, parameter, scale } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";
import { emit } from "../onnx/emit.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import type { Engine } from "../runtime/engine.ts";
import type { LoadedAdapter } from "./adapter.ts";
import { writeModelFolder } from "./model-writer.ts";
import type { OpenModel } from "./open-model.ts";
import { MAPPED_WEIGHTS } from "./session.ts";

/** The base's parameters as the merged model has them: name → a function that computes its values when asked. */
export function mergedParameters(engine: Engine, model: OpenModel, { method, tensors }: LoadedAdapter): Map<string, () => Promise<Float32Array>> {
  if (!method.merging.possible) {
    throw new GiantError("adapter", `a ${method.name} adapter cannot be merged: ${method.merging.reason}`, { hint: "Use it beside its base with --adapter." });
  }
  const base = (name: string): Tensor => parameter(name, model.inventory.parameters.get(name)!);
  const merged = new Map(method.merging.parameters(base, (name) => input(name, "float32", method.tensors.get(name)!.shape)));
  const { head, tieWordEmbeddings } = model.architecture;
  const headName = `${head.path}.weight`;
  // A change of the embedding alone must not reach a head that was tied to it.
  if (tieWordEmbeddings && head.spec.tiedTo !== undefined && merged.has(head.spec.tiedTo) && !merged.has(headName) && !method.merging.whole) {
    merged.set(headName, scale(base(head.spec.tiedTo), 1));
  }
  const compute = async (weight: Tensor): Promise<Float32Array> => {
    const program = await engine.open(encodeModel(emit({ weight }, { target: engine.device, weights: model.locate })), {
      weightsFolder: model.weightsFolder,
      sessionConfig: MAPPED_WEIGHTS,
    });
    const feeds = Object.fromEntries(program.inputNames.map((name) => [name, tensors.get(name)!]));
    const outputs = await program.run(feeds, { weight: "host" });
    await program.close();
    return (outputs["weight"] as HostTensor).data as Float32Array;
  };
  return new Map([...merged].map(([name, weight]) => [name, () => compute(weight)]));
}

/** Writes base + adapter as one model folder. */
export async function mergeAdapter(engine: Engine, model: OpenModel, adapter: LoadedAdapter, folder: string): Promise<void> {
  const { merging } = adapter.method;
  if (merging.possible && merging.whole) throw new GiantError("adapter", "a fully tuned model is a model folder already; there is nothing to merge");
  const merged = mergedParameters(engine, model, adapter);
  await writeModelFolder(folder, model, (name) => merged.get(name));
}

/** Turns an adapter as it is trained into the one its file holds. */
import { GiantError } from "../base/errors.ts";
import { type HostTensor, floats } from "../core/dtype.ts";
import { input } from "../core/operations.ts";
import { emit } from "../onnx/emit.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import type { Engine } from "../runtime/engine.ts";
import type { LoadedAdapter } from "./adapter.ts";

/** The adapter itself for most methods; computed on the engine where a method's file holds what its tensors give. */
export async function exportAdapter(engine: Engine, adapter: LoadedAdapter): Promise<LoadedAdapter> {
  const { method, tensors } = adapter;
  if (method.exported === undefined) return adapter;
  const { method: file, tensors: exported } = method.exported;
  const outputs = Object.fromEntries(exported((name) => input(name, "float32", method.tensors.get(name)!.shape)));
  const weights = (): never => {
    throw new GiantError("internal", `what ${method.name} exports needs no weight of the base`);
  };
  const program = await engine.open(encodeModel(emit(outputs, { target: engine.device, weights })));
  const feeds = Object.fromEntries(program.inputNames.map((name) => [name, tensors.get(name)!]));
  const found = await program.run(feeds, Object.fromEntries(Object.keys(outputs).map((name) => [name, "host" as const])));
  await program.close();
  const named = [...file.tensors].map(([name, { shape }]) => [name, floats(shape, (found[name] as HostTensor).data as Float32Array)] as const);
  return { method: file, tensors: new Map(named) };
}

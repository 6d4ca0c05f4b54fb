/** Joins a model with a method: the context its forward pass runs in, and the leaves that are fed. */
import { input, parameter } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";
import { invariant } from "../base/errors.ts";
import { type ModelContext, plainContext } from "../nn/context.ts";
import type { DecoderInputs } from "../nn/decoder.ts";
import type { AdaptationMethod, Dropout } from "./method.ts";

export interface AdaptOptions {
  /** What the base is fed with. */
  readonly inputs: DecoderInputs;
  readonly recompute?: boolean;
  readonly dropout?: Dropout;
}

export interface Adapted {
  readonly context: ModelContext;
  /** The method's tensors that the graph uses so far, as graph inputs named like them. */
  readonly leaves: ReadonlyMap<string, Tensor>;
}

/** A context for `method`, or for the bare base without one. Base parameters stay in the checkpoint's file. */
export function adapt(method: AdaptationMethod | undefined, { inputs, recompute = false, dropout }: AdaptOptions): Adapted {
  const leaves = new Map<string, Tensor>();
  const frozen = new Map<string, Tensor>();
  const tensor = (name: string): Tensor => {
    const described = method?.tensors.get(name);
    invariant(described !== undefined, `the method has no tensor ${name}`);
    return remembered(leaves, name, () => input(name, "float32", described.shape));
  };
  const base = plainContext({
    recompute,
    leaf: (name, shape, module) => {
      const replacement = method?.replacement(name, module);
      return replacement === undefined ? remembered(frozen, name, () => parameter(name, shape)) : tensor(replacement);
    },
  });
  return { context: method === undefined ? base : method.context(base, tensor, { inputs, ...(dropout && { dropout }) }), leaves };
}

function remembered(known: Map<string, Tensor>, name: string, make: () => Tensor): Tensor {
  let tensor = known.get(name);
  if (tensor === undefined) known.set(name, (tensor = make()));
  return tensor;
}

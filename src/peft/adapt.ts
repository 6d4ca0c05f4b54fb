/** Joins a model with a method: the context its forward pass runs in, and the leaves that are fed. */
import { input, parameter, parameterCodes, type QuantizedMatrix } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";
import { invariant } from "../base/errors.ts";
import { type LinearSpec, type ModelContext, plainContext, type QuantizedWeight } from "../nn/context.ts";
import type { DecoderInputs } from "../nn/decoder.ts";
import type { AdaptationMethod, Dropout } from "./method.ts";

export interface AdaptOptions {
  /** What the base is fed with. */
  readonly inputs: DecoderInputs;
  readonly recompute?: boolean;
  readonly dropout?: Dropout;
  /**
   * Whether a linear layer is computed with int8 codes of the base's parameter, which lie under `int8Names`; asked for
   * frozen parameters only.
   */
  readonly quantized?: ((parameter: string, module: string) => boolean) | undefined;
}

/** Names of the int8 form of a parameter: codes and scales of the matrix [in, out] and of its transpose. */
export function int8Names(parameter: string): { readonly weight: Int8Names; readonly transposed: Int8Names } {
  const names = (form: string): Int8Names => ({ codes: `${parameter}.int8${form}`, scales: `${parameter}.int8${form}.scales` });
  return { weight: names(""), transposed: names(".transposed") };
}

/** How the part of an int8 form that has this name lies in its file; undefined for a parameter of the base. */
export function int8StorageOf(name: string): "I8" | "F32" | undefined {
  return /\.int8(?:\.transposed)?$/.test(name) ? "I8" : /\.int8(?:\.transposed)?\.scales$/.test(name) ? "F32" : undefined;
}

export interface Int8Names {
  readonly codes: string;
  readonly scales: string;
}

export interface Adapted {
  readonly context: ModelContext;
  /** The method's tensors that the graph uses so far, as graph inputs named like them. */
  readonly leaves: ReadonlyMap<string, Tensor>;
}

/** A context for `method`, or for the bare base without one. Base parameters stay in the checkpoint's file. */
export function adapt(method: AdaptationMethod | undefined, { inputs, recompute = false, dropout, quantized }: AdaptOptions): Adapted {
  const leaves = new Map<string, Tensor>();
  const frozen = new Map<string, Tensor>();
  const tensor = (name: string): Tensor => {
    const described = method?.tensors.get(name);
    invariant(described !== undefined, `the method has no tensor ${name}`);
    return remembered(leaves, name, () => input(name, "float32", described.shape));
  };
  const matrix = ({ codes, scales }: Int8Names, rows: number, columns: number): QuantizedMatrix => ({
    codes: remembered(frozen, codes, () => parameterCodes(codes, [rows, columns])),
    scales: remembered(frozen, scales, () => parameter(scales, [columns])),
  });
  const int8 = (name: string, { inFeatures, outFeatures }: LinearSpec): QuantizedWeight => {
    const { weight, transposed } = int8Names(name);
    return { weight: matrix(weight, inFeatures, outFeatures), transposed: matrix(transposed, outFeatures, inFeatures) };
  };
  const base = plainContext({
    recompute,
    quantized:
      quantized && ((name, spec, module) => (method?.replacement(name, module) === undefined && quantized(name, module) ? int8(name, spec) : undefined)),
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

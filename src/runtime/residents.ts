/** The tensors that stay on a device between runs, by number, and the way of a tensor into ONNX Runtime and back. */
import { Tensor } from "onnxruntime-node";
import { GiantError } from "../base/errors.ts";
import type { Dtype, HostTensor } from "../core/dtype.ts";
import { bindDims } from "./dims.ts";
import type { Port, WireFeed, WireResident } from "./protocol.ts";

export class Residents {
  readonly #tensors: Map<number, Tensor> = new Map();
  #nextId = 1;

  keep(tensor: Tensor): WireResident {
    return this.replace(this.#nextId++, tensor);
  }

  /** Puts a tensor in the place of another. */
  replace(id: number, tensor: Tensor): WireResident {
    this.#tensors.set(id, tensor);
    return describe(id, tensor);
  }

  get(id: number): Tensor {
    const tensor = this.#tensors.get(id);
    if (tensor === undefined) throw new GiantError("internal", `resident tensor ${id} was released or never made`);
    return tensor;
  }

  /** Forgets a tensor and returns it, if it was there. */
  forget(id: number): Tensor | undefined {
    const tensor = this.#tensors.get(id);
    this.#tensors.delete(id);
    return tensor;
  }

  /** What a run is fed, by input name, and the sizes that its symbolic dimensions have. */
  fed(inputs: readonly Port[], feeds: readonly WireFeed[]): { readonly tensors: Record<string, Tensor>; readonly symbols: Map<string, number> } {
    const tensors: Record<string, Tensor> = {};
    const symbols = new Map<string, number>();
    for (const [i, port] of inputs.entries()) {
      const feed = feeds[i]!;
      const tensor = typeof feed === "number" ? this.get(feed) : toOrt(feed);
      bindDims(port, tensor.type, tensor.dims, symbols);
      tensors[port.name] = tensor;
    }
    return { tensors, symbols };
  }
}

/** A view of the same memory for ONNX Runtime. */
export function toOrt(tensor: HostTensor): Tensor {
  return new Tensor(tensor.dtype, tensor.data, tensor.shape);
}

/** The description of an ONNX Runtime tensor whose content is `data`. */
export function fromOrt(tensor: Tensor, data: HostTensor["data"]): HostTensor {
  return { dtype: tensor.type as Dtype, shape: tensor.dims, data };
}

export function describe(id: number, tensor: Tensor): WireResident {
  return { id, dtype: tensor.type as Dtype, shape: tensor.dims };
}

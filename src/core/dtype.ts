/** Element types of the graph, and the typed arrays that hold them on the host. */

/** Element types a graph computes with; int8 is for the codes of quantised weights only. Frozen parameters may lie in storage as `StorageDtype`. */
export type Dtype = "float32" | "int32" | "bool" | "int8";

/** Element types weights may have on disk (safetensors names). */
export type StorageDtype = "F32" | "F16" | "BF16" | "I8";

/** A tensor on the host. `bool` is one byte per element. */
export interface HostTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array | Uint8Array | Int8Array;
}

/** A float32 host tensor; checks that the data fills the shape. */
export function floats(shape: readonly number[], data: Float32Array | readonly number[]): HostTensor {
  const array = data instanceof Float32Array ? data : Float32Array.from(data);
  return hostTensor("float32", shape, array);
}

/** An int32 host tensor; checks that the data fills the shape. */
export function integers(shape: readonly number[], data: Int32Array | readonly number[]): HostTensor {
  const array = data instanceof Int32Array ? data : Int32Array.from(data);
  return hostTensor("int32", shape, array);
}

function hostTensor(dtype: Dtype, shape: readonly number[], data: HostTensor["data"]): HostTensor {
  const size = shape.reduce((a, b) => a * b, 1);
  if (size !== data.length) throw new RangeError(`host tensor of shape [${shape.join(", ")}] needs ${size} elements, got ${data.length}`);
  return { dtype, shape, data };
}

/** The small graphs that probe a device, time it, and copy tensors to and from it. */
import type { Dtype } from "../core/dtype.ts";
import type { OnnxModel, OnnxNode } from "../onnx/model.ts";
import { encodeModel } from "../onnx/protobuf.ts";

const OPSET = 21;

/** `y = x` for any shape of `rank` dimensions. */
export function copyGraph(dtype: Dtype, rank: number): Uint8Array {
  const dims = Array.from({ length: rank }, (_, axis) => `d${axis}`);
  return encodeModel({
    ...EMPTY,
    graphName: "copy",
    nodes: [{ operator: "Identity", inputs: ["x"], outputs: ["y"] }],
    inputs: [{ name: "x", type: dtype, dims }],
    outputs: [{ name: "y", type: dtype, dims }],
  });
}

/** `y = x x` for square `x`, small enough to check by hand. */
export function squareGraph(): Uint8Array {
  return chainGraph(1, 2);
}

/** `y = x^(2^products)` by repeated squaring of a [size, size] matrix. */
export function chainGraph(products: number, size: number): Uint8Array {
  const nodes: OnnxNode[] = [];
  for (let i = 0; i < products; i++) {
    const from = i === 0 ? "x" : `t${i}`;
    nodes.push({ operator: "MatMul", inputs: [from, from], outputs: [i === products - 1 ? "y" : `t${i + 1}`] });
  }
  const dims = [size, size];
  return encodeModel({
    ...EMPTY,
    graphName: "products",
    nodes,
    inputs: [{ name: "x", type: "float32", dims }],
    outputs: [{ name: "y", type: "float32", dims }],
  });
}

const EMPTY: OnnxModel = { opset: OPSET, graphName: "", nodes: [], initializers: [], inputs: [], outputs: [] };

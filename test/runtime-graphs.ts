/** Small ONNX graphs for tests of the runtime. */
import type { OnnxElementType, OnnxModel, OnnxNode, OnnxTensor, OnnxValue } from "../src/onnx/model.ts";

export function graph(parts: Partial<OnnxModel>): OnnxModel {
  return { opset: 21, graphName: "test", nodes: [], initializers: [], inputs: [], outputs: [], ...parts };
}

export function vector(name: string, type: OnnxElementType = "float32", length: string | number = "n"): OnnxValue {
  return { name, type, dims: [length] };
}

export function scalar(name: string, value: number): OnnxTensor {
  return { name, type: "float32", dims: [], content: { kind: "bytes", bytes: new Uint8Array(Float32Array.of(value).buffer) } };
}

/** `y = operator(x)` on vectors. */
export function elementwise(operator: string): OnnxModel {
  return graph({ nodes: [{ operator, inputs: ["x"], outputs: ["y"] }], inputs: [vector("x")], outputs: [vector("y")] });
}

/** `count` products of [size, size] matrices one after the other. */
export function products(count: number, size: number): OnnxModel {
  const nodes: OnnxNode[] = Array.from({ length: count }, (_, i) => ({
    operator: "MatMul",
    inputs: [i === 0 ? "x" : `t${i}`, "x"],
    outputs: [i === count - 1 ? "y" : `t${i + 1}`],
  }));
  const dims = [size, size];
  return graph({ nodes, inputs: [{ name: "x", type: "float32", dims }], outputs: [{ name: "y", type: "float32", dims }] });
}

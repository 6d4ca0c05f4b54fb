/** Small graphs that resemble the work of a training step, to time a machine by. */
import type { OnnxModel, OnnxNode, OnnxValue } from "../onnx/model.ts";
import { encodeModel } from "../onnx/protobuf.ts";

const OPSET = 23;

export interface TimedGraph {
  readonly model: Uint8Array;
  /** Shapes of the inputs `x0`, `x1`, … */
  readonly inputs: readonly (readonly number[])[];
  /** Operators whose time is asked for. */
  readonly count: number;
}

type Dims = readonly number[];

function graph(inputs: readonly Dims[], nodes: readonly OnnxNode[], outputs: readonly OnnxValue[], count: number): TimedGraph {
  const model: OnnxModel = {
    opset: OPSET,
    graphName: "machine",
    nodes,
    initializers: [],
    inputs: inputs.map((dims, i) => ({ name: `x${i}`, type: "float32", dims })),
    outputs,
  };
  return { model: encodeModel(model), inputs, count };
}

/** `count` times the same node over the same inputs; only the last result is kept. */
function repeated(inputs: readonly Dims[], result: Dims, count: number, make: Omit<OnnxNode, "inputs" | "outputs">): TimedGraph {
  const names = inputs.map((_, i) => `x${i}`);
  const nodes = Array.from({ length: count }, (_, i) => ({ ...make, inputs: names, outputs: [i === count - 1 ? "y" : `t${i}`] }));
  return graph(inputs, nodes, [{ name: "y", type: "float32", dims: result }], count);
}

/** Bytes that a step streams through before it comes back to the same operand: more than any cache holds. */
const STREAMED = 64 * 2 ** 20;

/**
 * Products op(A)·op(B) with op(A) [M, K] and op(B) [K, N]. The larger operand comes from memory, as in a step, where
 * every product has operands of its own.
 */
export function productGraph(transA: boolean, transB: boolean, [M, K, N]: readonly [number, number, number], count: number): TimedGraph {
  const attributes = { transA: { kind: "int", value: Number(transA) }, transB: { kind: "int", value: Number(transB) } } as const;
  const [a, b] = [transA ? [K, M] : [M, K], transB ? [N, K] : [K, N]];
  const larger = M > N ? a : b;
  const bytes = larger.reduce((x, y) => x * y, Float32Array.BYTES_PER_ELEMENT);
  const copies = Math.min(count, Math.ceil(STREAMED / bytes));
  const nodes = Array.from({ length: count }, (_, i) => {
    const fresh = `x${i % copies}`;
    const inputs = larger === a ? [fresh, `x${copies}`] : [`x${copies}`, fresh];
    return { operator: "Gemm", attributes, inputs, outputs: [i === count - 1 ? "y" : `t${i}`] };
  });
  const inputs = [...Array.from({ length: copies }, () => larger), larger === a ? b : a];
  return graph(inputs, nodes, [{ name: "y", type: "float32", dims: [M, N] }], count);
}

/** Products of two tensors element by element. */
export function elementwiseGraph(elements: number, count: number): TimedGraph {
  return repeated([[elements], [elements]], [elements], count, { operator: "Mul" });
}

export function softmaxGraph([rows, columns]: readonly [number, number], count: number): TimedGraph {
  return repeated([[rows, columns]], [rows, columns], count, { operator: "Softmax", attributes: { axis: { kind: "int", value: -1 } } });
}

/** Heads brought in front of tokens: [B, T, H, D] → [B, H, T, D]. */
export function transposeGraph([B, T, H, D]: readonly [number, number, number, number], count: number): TimedGraph {
  return repeated([[B, T, H, D]], [B, H, T, D], count, { operator: "Transpose", attributes: { perm: { kind: "ints", value: [0, 2, 1, 3] } } });
}

/** `count` inputs that each become an output of their own. */
export function crossingGraph(count: number, elements: number): TimedGraph {
  const inputs = Array.from({ length: count }, () => [elements]);
  const nodes = inputs.map((_, i) => ({ operator: "Neg", inputs: [`x${i}`], outputs: [`y${i}`] }));
  return graph(
    inputs,
    nodes,
    inputs.map((dims, i) => ({ name: `y${i}`, type: "float32", dims })),
    count,
  );
}

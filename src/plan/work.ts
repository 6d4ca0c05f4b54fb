/** How much a program computes and moves, node by node. */
import { type Bindings } from "../core/shape.ts";
import type { OnnxModel, OnnxNode } from "../onnx/model.ts";
import type { Orientation } from "./machine.ts";
import { sizedValues, type SizedValue } from "./values.ts";
import { workspaceBytes } from "./workspace.ts";

export type NodeWork =
  | { readonly kind: "product"; readonly orientation: Orientation; readonly flops: number; readonly bytes: number; readonly rows: number; readonly int8?: true }
  /** `still` is an operator that only looks at its input in another way. */
  | { readonly kind: "elementwise" | "softmax" | "movement" | "scatter" | "still"; readonly bytes: number };

export interface ProgramWork {
  readonly nodes: readonly NodeWork[];
  /** Tensors that cross the border of each run. */
  readonly tensors: number;
  readonly flops: number;
}

const STILL: ReadonlySet<string> = new Set(["Reshape", "Identity", "Unsqueeze", "Squeeze", "Shape"]);
const MOVEMENT: ReadonlySet<string> = new Set(["Transpose", "Slice", "Pad", "Concat", "Expand", "Gather", "ConstantOfShape"]);
const INT8_PRODUCT = "MatMulIntegerToFloat";
const PRODUCTS: ReadonlySet<string> = new Set(["Gemm", "MatMul", "FusedMatMul", INT8_PRODUCT]);

/** The work of one run of a program under bindings of its symbols. */
export function programWork(model: OnnxModel, bindings: Bindings): ProgramWork {
  const values = sizedValues(model, bindings);
  const nodes = model.nodes.map((node) => workOf(node, values));
  const flops = nodes.reduce((sum, work) => sum + (work.kind === "product" ? work.flops : 0), 0);
  return { nodes, tensors: model.inputs.length + model.outputs.length, flops };
}

function workOf(node: OnnxNode, values: ReadonlyMap<string, SizedValue>): NodeWork {
  const output = values.get(node.outputs[0]!)!;
  const inputs = node.inputs.flatMap((name) => values.get(name) ?? []);
  const all = inputs.reduce((sum, { bytes }) => sum + bytes, output.bytes);
  if (PRODUCTS.has(node.operator)) return productWork(node, inputs, output, all);
  // It writes the matrix as float32 and reads it again.
  if (node.operator === "MatMulBnb4") return { ...productWork(node, inputs, output, all + 2 * workspaceBytes(node)), orientation: "NT" };
  if (STILL.has(node.operator)) return { kind: "still", bytes: 0 };
  if (node.operator === "Softmax") return { kind: "softmax", bytes: all };
  if (node.operator === "ScatterElements") return { kind: "scatter", bytes: all };
  // A look-up reads no more than it gives, however large the table is.
  if (MOVEMENT.has(node.operator)) return { kind: "movement", bytes: Math.min(all, 2 * output.bytes) };
  return { kind: "elementwise", bytes: all };
}

type ProductWork = Extract<NodeWork, { kind: "product" }>;

function productWork(node: OnnxNode, inputs: readonly SizedValue[], output: SizedValue, bytes: number): ProductWork {
  const transposed = (name: string): boolean => {
    const attribute = node.attributes?.[name];
    return attribute?.kind === "int" && attribute.value === 1;
  };
  const [a, b] = [transposed("transA"), transposed("transB")];
  const { dims } = inputs[0]!;
  const depth = dims.at(a ? -2 : -1)!;
  const elements = output.dims.reduce((x, y) => x * y, 1);
  return {
    kind: "product",
    orientation: `${a ? "T" : "N"}${b ? "T" : "N"}`,
    flops: 2 * elements * depth,
    bytes,
    rows: output.dims.at(-2)!,
    ...(node.operator === INT8_PRODUCT && { int8: true }),
  };
}

/** Memory that an operator takes for itself while it runs. */
import type { OnnxNode } from "../onnx/model.ts";

/** Bytes of an operator's workspace: the product with a 4-bit matrix makes its float32 form beside the packed one. */
export function workspaceBytes({ operator, attributes }: OnnxNode): number {
  if (operator !== "MatMulBnb4") return 0;
  const size = (name: string): number => {
    const attribute = attributes?.[name];
    return attribute?.kind === "int" ? attribute.value : 0;
  };
  return size("K") * size("N") * Float32Array.BYTES_PER_ELEMENT;
}

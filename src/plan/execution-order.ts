/** The order in which ONNX Runtime runs the nodes of a file. */
import type { OnnxNode } from "../onnx/model.ts";

/**
 * Nodes as ONNX Runtime 1.30 runs them (`GraphViewer`, `Graph::ReverseDFSFrom`): a depth-first walk back from the nodes
 * that nobody uses, the last one in the file first; of a node's operands the one written last is computed first.
 */
export function executionOrder(nodes: readonly OnnxNode[]): OnnxNode[] {
  const maker = new Map<string, number>();
  nodes.forEach((node, index) => node.outputs.forEach((output) => maker.set(output, index)));
  const operands = nodes.map((node) => [...new Set(node.inputs.flatMap((name) => maker.get(name) ?? []))].toSorted((a, b) => a - b));
  const used = new Set(operands.flat());
  const stack: { readonly index: number; readonly leaving: boolean }[] = [];
  for (const index of nodes.keys()) if (!used.has(index)) stack.push({ index, leaving: false });
  const visited = new Set<number>();
  const order: OnnxNode[] = [];
  for (let entry = stack.pop(); entry !== undefined; entry = stack.pop()) {
    const { index, leaving } = entry;
    if (leaving) {
      order.push(nodes[index]!);
    } else if (!visited.has(index)) {
      visited.add(index);
      stack.push({ index, leaving: true });
      for (const operand of operands[index]!) if (!visited.has(operand)) stack.push({ index: operand, leaving: false });
    }
  }
  return order;
}

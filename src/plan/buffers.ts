/** Which values of a graph share a buffer, and when each buffer is taken and given back: ONNX Runtime's plan, made again. */
import type { OnnxModel, OnnxNode } from "../onnx/model.ts";
import { executionOrder } from "./execution-order.ts";
import type { SizedValue } from "./values.ts";

/** One node with the buffers it takes before it runs and those that are free after it. */
export interface PlannedNode {
  readonly node: OnnxNode;
  /** Values whose buffers are taken, by name. */
  readonly takes: readonly string[];
  /** Values whose buffers are given back. */
  readonly gives: readonly string[];
}

/** Operators whose output is their first input seen in another shape. */
const VIEWS: ReadonlySet<string> = new Set(["Reshape", "Identity", "Unsqueeze", "Squeeze"]);

/** Operators that may write over their first input when nobody needs it afterwards. */
const OVERWRITING: ReadonlySet<string> = new Set(["Softmax", "Sigmoid", "Tanh", "QuickGelu", "Cast", "ScatterElements"]);

/**
 * The allocation plan of ONNX Runtime 1.30 for one sequential stream (`PlannerImpl` in allocation_planner.cc): an output is a
 * view of its input, is written over it, takes the buffer of the value of the same type and shape that died last, or
 * gets a buffer of its own. Graph inputs, constants and graph outputs lie in memory of others.
 *
 * A buffer that is handed on stays taken in between, so the peak is higher than the sum of what is alive.
 */
export function planBuffers(model: OnnxModel, values: ReadonlyMap<string, SizedValue>): PlannedNode[] {
  const order = executionOrder(model.nodes);
  const uses = new Map<string, number>();
  const use = (name: string): void => void uses.set(name, (uses.get(name) ?? 0) + 1);
  for (const { name } of [...model.inputs, ...model.initializers, ...model.outputs]) use(name);
  for (const node of order) for (const name of node.inputs) if (name !== "") use(name);
  const outputs = new Set(model.outputs.map(({ name }) => name));

  const owner = new Map<string, string>(); // value → the value whose buffer it lies in
  const ownerOf = (name: string): string => owner.get(name) ?? name;
  const dead = new Map<string, string[]>(); // kind → owners whose value nobody needs, the last one died last
  const took = new Map<string, number>(); // owner of a planned buffer → node that takes it
  const last = new Map<string, number>(); // owner → last node that touches it
  const share = (name: string, with_: string): void => {
    const original = ownerOf(with_);
    owner.set(name, original);
    uses.set(original, uses.get(original)! + (uses.get(name) ?? 0));
  };

  order.forEach((node, step) => {
    const [first] = node.inputs;
    for (const name of node.outputs) {
      const value = values.get(name)!;
      if (outputs.has(name)) continue;
      const overwritten = first !== undefined && OVERWRITING.has(node.operator) && uses.get(ownerOf(first)) === 1 && alike(values.get(first)!, value);
      const reused = VIEWS.has(node.operator) || overwritten ? first : dead.get(value.kind ?? "")?.pop();
      if (reused !== undefined) share(name, reused);
      else took.set(name, step);
      last.set(ownerOf(name), step);
    }
    for (const name of node.inputs) {
      if (name === "") continue;
      const original = ownerOf(name);
      last.set(original, step);
      const left = uses.get(original)! - 1;
      uses.set(original, left);
      const { kind } = values.get(original)!;
      if (left !== 0 || kind === undefined) continue;
      const unused = dead.get(kind);
      if (unused === undefined) dead.set(kind, [original]);
      else unused.push(original);
    }
  });

  const takes: string[][] = order.map(() => []);
  const gives: string[][] = order.map(() => []);
  for (const [name, step] of took) {
    takes[step]!.push(name);
    gives[last.get(name)!]!.push(name);
  }
  return order.map((node, step) => ({ node, takes: takes[step]!, gives: gives[step]! }));
}

function alike(a: SizedValue, b: SizedValue): boolean {
  return a.kind !== undefined && a.kind === b.kind;
}

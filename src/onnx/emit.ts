/** Writes a graph as an ONNX model: nodes in order, weights by reference into their files. */
import { invariant } from "../base/errors.ts";
import type { Dtype } from "../core/dtype.ts";
import { type OperatorName, type Operators, type Tensor, topologicalOrder } from "../core/tensor.ts";
import { emitRules, type EmitRule } from "./emit-rules.ts";
import { Emitter, int, type Target, type WeightLocation } from "./emitter.ts";
import { arrange } from "./arrange.ts";
import { fuseProducts } from "./fuse.ts";
import { elementTypeOf, type OnnxElementType, type OnnxModel, type OnnxValue } from "./model.ts";

export interface EmitOptions {
  readonly target: Target;
  /** Where each parameter of the graph lies; a graph without parameters needs none. */
  readonly weights?: (name: string) => WeightLocation;
}

/** Version of the default operator set that is written. */
export const OPSET: number = 23;

const value = (name: string, { dtype, shape }: { readonly dtype: Dtype; readonly shape: Tensor["shape"] }): OnnxValue => ({ name, type: dtype, dims: shape });

/** Writes the graph behind named outputs; graph inputs are the `input` leaves, in order of creation. */
export function emit(outputs: Readonly<Record<string, Tensor>>, options: EmitOptions): OnnxModel {
  const order = topologicalOrder(Object.values(outputs));
  const inputs = order.filter((tensor): tensor is Tensor<"input"> => tensor.op === "input").toSorted((a, b) => a.id - b.id);
  const symbols = new Map<string, { input: string; axis: number }>();
  for (const { attributes } of inputs) {
    attributes.shape.forEach((dim, axis) => {
      if (typeof dim === "string" && !symbols.has(dim)) symbols.set(dim, { input: attributes.name, axis });
    });
  }
  const emitter = new Emitter(options.target, symbols);
  const fused = fuseProducts(order, Object.values(outputs));
  const names = new Map<Tensor, string>();
  const halves = new Map<Tensor, OnnxElementType>();
  const nameOf = (tensor: Tensor): string => {
    const name = names.get(tensor);
    invariant(name !== undefined, `${tensor.op} is used before it is written`);
    return halves.has(tensor) ? emitter.widened(name, tensor.shape) : name;
  };
  for (const tensor of order) {
    if (fused.absorbed.has(tensor)) continue;
    const product = fused.products.get(tensor);
    if (product !== undefined) {
      names.set(tensor, product.emit(nameOf, emitter));
    } else if (tensor.op === "parameter") {
      const { name, shape } = tensor.attributes as Operators["parameter"];
      invariant(options.weights !== undefined, `no weights are given for parameter ${name}`);
      const location = options.weights(name);
      names.set(tensor, emitter.weight(name, shape, location));
      if (tensor.dtype === "float32" && location.storage !== "F32") halves.set(tensor, elementTypeOf(location.storage));
    } else if (tensor.op === "gather" && halves.has(tensor.inputs[0]!)) {
      // Widen the rows that are taken, not the table.
      const gathered = emitter.op("Gather", [names.get(tensor.inputs[0]!)!, nameOf(tensor.inputs[1]!)], { axis: int(0) });
      const rows = emitter.step(gathered, halves.get(tensor.inputs[0]!)!, tensor.shape);
      names.set(tensor, emitter.widened(rows, tensor.shape));
    } else {
      const rule = emitRules[tensor.op] as EmitRule<OperatorName>;
      names.set(tensor, rule(tensor, tensor.inputs.map(nameOf), emitter));
    }
  }
  const inOrderOfCreation = Object.entries(outputs).toSorted(([, a], [, b]) => a.id - b.id);
  const nodes = arrange(emitter.nodes, new Map(inOrderOfCreation.map(([name, tensor]) => [name, nameOf(tensor)])));
  const written = new Set(nodes.flatMap((node) => node.outputs));
  const read = new Set(nodes.flatMap((node) => node.inputs));
  const values = new Map<string, OnnxValue>();
  for (const step of emitter.steps) if (written.has(step.name) && !(step.name in outputs)) values.set(step.name, step);
  for (const [tensor, name] of names) if (written.has(name) && !(name in outputs)) values.set(name, value(name, tensor));
  return {
    opset: OPSET,
    graphName: "mini-giants",
    nodes,
    // A quantised weight comes with its transpose, which a forward pass alone does not read.
    initializers: emitter.initializers.filter(({ name }) => read.has(name)),
    inputs: inputs.map((tensor) => value(tensor.attributes.name, tensor)),
    outputs: Object.entries(outputs).map(([name, tensor]) => value(name, tensor)),
    values: [...values.values()],
  };
}

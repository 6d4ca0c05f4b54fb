/** Writes a graph as an ONNX model: nodes in order, weights by reference into their files. */
import { invariant } from "../base/errors.ts";
import type { Dtype } from "../core/dtype.ts";
import { type OperatorName, type Operators, type Tensor, topologicalOrder } from "../core/tensor.ts";
import { emitRules, type EmitRule } from "./emit-rules.ts";
import { Emitter, int, type Target, type WeightLocation, type Nf4Location } from "./emitter.ts";
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
  /** Weights, and rows of weights, by where they lie. */
  const located = new Map<Tensor, { readonly name: string; readonly at: WeightLocation }>();
  const packed = new Map<Tensor, { readonly name: string; readonly at: Nf4Location }>();
  const nameOf = (tensor: Tensor): string => {
    const weight = packed.get(tensor);
    if (weight !== undefined) return emitter.nf4(weight.name, tensor.shape, weight.at);
    const name = names.get(tensor);
    invariant(name !== undefined, `${tensor.op} is used before it is written`);
    return halves.has(tensor) ? emitter.widened(name, tensor.shape) : name;
  };
  /** A product with a packed weight as it lies, where there is an operator for it. */
  const packedProduct = (tensor: Tensor): string | undefined => {
    const weight = tensor.op === "matmul" ? packed.get(tensor.inputs[1]!) : undefined;
    if (weight === undefined || tensor.inputs[0]!.shape.length !== 2) return undefined;
    const { transposeA, transposeB } = tensor.attributes as Operators["matmul"];
    if (transposeA || !transposeB) return undefined;
    return emitter.nf4Product(nameOf(tensor.inputs[0]!), weight.name, tensor.inputs[1]!.shape as readonly [number, number], weight.at);
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
      if (location.nf4 !== undefined) {
        packed.set(tensor, { name, at: location.nf4 });
        continue;
      }
      located.set(tensor, { name, at: location });
      names.set(tensor, emitter.weight(name, shape, location));
      if (tensor.dtype === "float32" && location.storage !== "F32") halves.set(tensor, elementTypeOf(location.storage));
    } else if (isRows(tensor) && located.has(tensor.inputs[0]!)) {
      const rows = rowsOf(tensor, located.get(tensor.inputs[0]!)!);
      located.set(tensor, rows);
      names.set(tensor, emitter.weight(rows.name, tensor.shape, rows.at));
      if (rows.at.storage !== "F32") halves.set(tensor, elementTypeOf(rows.at.storage));
    } else if (tensor.op === "gather" && halves.has(tensor.inputs[0]!)) {
      // Widen the rows that are taken, not the table.
      const gathered = emitter.op("Gather", [names.get(tensor.inputs[0]!)!, nameOf(tensor.inputs[1]!)], { axis: int(0) });
      const rows = emitter.step(gathered, halves.get(tensor.inputs[0]!)!, tensor.shape);
      names.set(tensor, emitter.widened(rows, tensor.shape));
    } else {
      const rule = emitRules[tensor.op] as EmitRule<OperatorName>;
      names.set(tensor, packedProduct(tensor) ?? rule(tensor, tensor.inputs.map(nameOf), emitter));
    }
  }
  const inOrderOfCreation = Object.entries(outputs).toSorted(([, a], [, b]) => a.id - b.id);
  const nodes = arrange(
    emitter.nodes,
    new Map(inOrderOfCreation.map(([name, tensor]) => [name, nameOf(tensor)])),
    new Set(emitter.initializers.map(({ name }) => name)),
  );
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

/** Whether a tensor takes whole rows of another, which lie together in its file. */
function isRows(tensor: Tensor): tensor is Tensor<"slice"> {
  if (tensor.op !== "slice") return false;
  const { axis, start, length } = tensor.attributes as Operators["slice"];
  return axis === 0 && typeof start === "number" && typeof length === "number";
}

/** These rows where they lie: nothing is copied. */
function rowsOf(
  rows: Tensor<"slice">,
  { name, at }: { readonly name: string; readonly at: WeightLocation },
): { readonly name: string; readonly at: WeightLocation } {
  const [start, length] = [rows.attributes.start as number, rows.attributes.length as number];
  const rowBytes = at.bytes / (rows.inputs[0]!.shape[0] as number);
  return { name: `${name}[${start}:${start + length}]`, at: { ...at, offset: at.offset + start * rowBytes, bytes: length * rowBytes } };
}

/** A graph as text, one line per node: for tests, for `--debug`, and for the eye. */
import { formatShape } from "./shape.ts";
import { type OperatorName, type Operators, type Tensor, topologicalOrder } from "./tensor.ts";

type PrintRule<Op extends OperatorName> = (attributes: Operators[Op]) => string;

const plain = (): string => "";
const axes = (attributes: { readonly axes: readonly number[] }): string => ` axes=[${attributes.axes.join(", ")}]`;
const axis = (attributes: { readonly axis: number }): string => ` axis=${attributes.axis}`;
const epsilon = (attributes: { readonly epsilon: number }): string => ` epsilon=${attributes.epsilon}`;

const printRules: { readonly [Op in OperatorName]: PrintRule<Op> } = {
  input: ({ name }) => ` ${name}`,
  parameter: ({ name }) => ` ${name}`,
  constant: ({ value }) => (value.data.length === 1 ? ` ${value.data[0]}` : ` ${value.data.length} values`),
  neg: plain,
  exp: plain,
  log: plain,
  sqrt: plain,
  reciprocal: plain,
  tanh: plain,
  sigmoid: plain,
  erf: plain,
  floor: plain,
  silu: plain,
  stopGradient: plain,
  cast: ({ to }) => ` to=${to}`,
  add: plain,
  sub: plain,
  mul: plain,
  div: plain,
  equal: plain,
  lessOrEqual: plain,
  and: plain,
  where: plain,
  reshape: plain,
  transpose: ({ permutation }) => ` [${permutation.join(", ")}]`,
  expand: plain,
  slice: (a) => `${axis(a)} ${a.start}+${a.length}`,
  pad: (a) => `${axis(a)} ${a.before} of ${a.length}`,
  concat: axis,
  sum: axes,
  max: axes,
  matmul: ({ transposeA, transposeB }) => `${transposeA ? " transposeA" : ""}${transposeB ? " transposeB" : ""}`,
  quantizedMatmul: plain,
  gather: plain,
  scatterAdd: plain,
  softmax: plain,
  logSumExp: plain,
  rmsNorm: epsilon,
  layerNorm: epsilon,
  rotary: plain,
};

/** Prints the graph behind named outputs; nodes are numbered from %0 in the order they are computed. */
export function print(outputs: Readonly<Record<string, Tensor>>): string {
  const order = topologicalOrder(Object.values(outputs));
  const names = new Map(order.map((tensor, i) => [tensor, `%${i}`]));
  const lines = order.map((tensor) => {
    const rule = printRules[tensor.op] as PrintRule<OperatorName>;
    const type = tensor.dtype === "float32" ? "" : ` ${tensor.dtype}`;
    return `${names.get(tensor)} = ${tensor.op}(${tensor.inputs.map((input) => names.get(input)).join(", ")})${rule(tensor.attributes)} → ${formatShape(tensor.shape)}${type}`;
  });
  for (const [name, tensor] of Object.entries(outputs)) lines.push(`return ${name} = ${names.get(tensor)}`);
  return `${lines.join("\n")}\n`;
}

/** The list of operators as a type, and the tensor: a node of an immutable graph that knows its operator and inputs. */
import type { Dtype, HostTensor } from "./dtype.ts";
import type { Dim, Shape } from "./shape.ts";

/**
 * Every operator and its attributes. Each rule table (shape, gradient, emit, interpret, print) is total over this
 * interface: adding an operator here makes the compiler name every table that lacks it.
 */
export interface Operators {
  // leaves
  /** A value fed at each run. */
  input: { readonly name: string; readonly dtype: Dtype; readonly shape: Shape };
  /** A frozen weight, read from the checkpoint under this name. */
  parameter: { readonly name: string; readonly shape: Shape; readonly dtype?: "int8" };
  constant: { readonly value: HostTensor };
  // elementwise, one input
  neg: {};
  exp: {};
  log: {};
  sqrt: {};
  reciprocal: {};
  tanh: {};
  sigmoid: {};
  erf: {};
  floor: {};
  silu: {};
  stopGradient: {};
  cast: { readonly to: Dtype };
  // elementwise, two or three inputs, with broadcasting
  add: {};
  sub: {};
  mul: {};
  div: {};
  equal: {};
  lessOrEqual: {};
  and: {};
  where: {};
  // shape
  reshape: { readonly shape: Shape };
  transpose: { readonly permutation: readonly number[] };
  expand: { readonly shape: Shape };
  /** `length` elements from `start` on; both may be symbolic. */
  slice: { readonly axis: number; readonly start: Dim; readonly length: Dim };
  /** Zeros around, so that the axis becomes `length` long and the input begins at `before`. */
  pad: { readonly axis: number; readonly before: Dim; readonly length: Dim };
  concat: { readonly axis: number };
  // reductions; reduced axes stay as dimensions of 1
  sum: { readonly axes: readonly number[] };
  max: { readonly axes: readonly number[] };
  // products and look-ups
  matmul: { readonly transposeA: boolean; readonly transposeB: boolean };
  /** Inputs x, then codes and scales of a frozen weight, then those of its transpose, which the backward pass multiplies with. */
  quantizedMatmul: {};
  gather: {};
  scatterAdd: { readonly rows: Dim };
  // fused primitives: a fast kernel or a stable gradient exists
  softmax: {};
  logSumExp: {};
  rmsNorm: { readonly epsilon: number };
  layerNorm: { readonly epsilon: number };
  rotary: {};
}

export type OperatorName = keyof Operators;

/** A node of the graph. Tensors are immutable; a graph is whatever is reachable from its outputs. */
export interface Tensor<Op extends OperatorName = OperatorName> {
  readonly op: Op;
  readonly inputs: readonly Tensor[];
  readonly attributes: Operators[Op];
  readonly shape: Shape;
  readonly dtype: Dtype;
  /** Order of creation: breaks ties when nodes are put in order, so that the same program gives the same file. */
  readonly id: number;
}

/** All tensors that `roots` depend on, roots included, inputs before users. */
export function topologicalOrder(roots: readonly Tensor[]): Tensor[] {
  const order: Tensor[] = [];
  const seen = new Set<Tensor>();
  const stack: { tensor: Tensor; next: number }[] = [];
  for (const root of roots) {
    if (seen.has(root)) continue;
    seen.add(root);
    stack.push({ tensor: root, next: 0 });
    while (stack.length > 0) {
      const frame = stack[stack.length - 1]!;
      const input = frame.tensor.inputs[frame.next++];
      if (input === undefined) {
        order.push(frame.tensor);
        stack.pop();
      } else if (!seen.has(input)) {
        seen.add(input);
        stack.push({ tensor: input, next: 0 });
      }
    }
  }
  return order;
}

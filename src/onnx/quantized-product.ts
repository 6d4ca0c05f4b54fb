/** Writes a product with an int8 weight: each row of the other operand is rounded to 8 bits by its own largest element. */
import type { Tensor } from "../core/tensor.ts";
import { type Emitter, int } from "./emitter.ts";

/** How numbers of either sign lie in unsigned bytes, and probabilities, which need no room below zero. */
const SIGNED = { zero: 128, largest: 127 };
const UNSIGNED = { zero: 0, largest: 255 };

/** Keeps the scale of a row of zeros from being zero, so that nothing is divided by it. */
const SMALLEST = 1e-30;

/**
 *   s = max |x| / 127 per row,  Y = diag(s) · ((round(diag(1/s)·X) · codes) · diag(scales))
 *
 * The rows lie in unsigned bytes with 128 as their zero, because ONNX Runtime's fast kernels multiply unsigned by signed bytes. It
 * takes one scale for the whole first operand, so the rows' scales are multiplied in afterwards. Products that read the same
 * x share its rounded rows. Other targets have no such kernel and widen the codes.
 */
export function quantizedMatmul(node: Tensor<"quantizedMatmul">, [x, codes, scales]: readonly string[], e: Emitter): string {
  const [operand, weight] = node.inputs as [Tensor, Tensor];
  if (e.target !== "cpu") {
    const wide = e.step(e.op("Cast", [codes!], { to: int(1) }), "float32", weight.shape);
    return e.op("Gemm", [x!, e.step(e.op("Mul", [wide, scales!]), "float32", weight.shape)]);
  }
  const rows = operand.shape.slice(0, 1);
  const column = [...rows, 1];
  const scalesOf = (name: string): string => e.step(name, "float32", column);
  const { zero, largest } = operand.op === "softmax" ? UNSIGNED : SIGNED;
  const extreme = (reduce: string): string => scalesOf(e.op(reduce, [x!, e.int64([-1])], { keepdims: int(1) }));
  const below = zero === 0 ? [] : [scalesOf(e.op("Neg", [extreme("ReduceMin")]))];
  const size = scalesOf(e.op("Max", [extreme("ReduceMax"), ...below, e.scalar(SMALLEST)]));
  const scale = scalesOf(e.op("Mul", [size, e.scalar(1 / largest)]));
  const value = { name: "", type: "uint8", dims: [1], content: { kind: "bytes", bytes: Uint8Array.of(zero) } } as const;
  const zeros = e.step(e.op("ConstantOfShape", [e.shape(rows)], { value: { kind: "tensor", value } }), "uint8", rows);
  const vector = e.step(e.reshape(scale, column, rows), "float32", rows);
  const rounded = e.step(e.op("QuantizeLinear", [x!, vector, zeros], { axis: int(0) }), "uint8", operand.shape);
  const product = e.microsoft("MatMulIntegerToFloat", [rounded, codes!, e.scalar(1), scales!, e.byte(zero)]);
  return e.op("Mul", [e.step(product, "float32", node.shape), scale]);
}

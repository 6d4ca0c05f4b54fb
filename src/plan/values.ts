/** How large every value of an ONNX graph is once its symbolic dimensions are known. */
import { type Bindings, evaluate } from "../core/shape.ts";
import type { OnnxElementType, OnnxModel, OnnxValue } from "../onnx/model.ts";

/** A value with its sizes in one run. */
export interface SizedValue {
  readonly type: OnnxElementType;
  readonly dims: readonly number[];
  readonly bytes: number;
  /** Type and symbolic shape: ONNX Runtime lets values share memory when both are written alike. Absent where the file does not tell. */
  readonly kind: string | undefined;
}

export const ELEMENT_BYTES: Readonly<Record<OnnxElementType, number>> = {
  float32: 4,
  float16: 2,
  bfloat16: 2,
  uint8: 1,
  int8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
};

const SHAPE_VECTOR: SizedValue = { type: "int64", dims: [4], bytes: 32, kind: undefined };

/**
 * Every input, constant and inner value by name.
 * What the file says nothing of is a vector of sizes, or as large as the largest operand.
 */
export function sizedValues(model: OnnxModel, bindings: Bindings): Map<string, SizedValue> {
  const values = new Map<string, SizedValue>();
  for (const { name, type, dims } of model.initializers) values.set(name, sized(type, dims, dims));
  for (const value of [...model.inputs, ...(model.values ?? []), ...model.outputs]) values.set(value.name, sizedValue(value, bindings));
  for (const { operator, inputs, outputs } of model.nodes) {
    const [output] = outputs;
    if (output === undefined || values.has(output)) continue;
    const operands = inputs.flatMap((name) => values.get(name) ?? []);
    const largest = operands.reduce((a, b) => (b.bytes > a.bytes ? b : a), SHAPE_VECTOR);
    values.set(output, operator === "Shape" ? SHAPE_VECTOR : { ...largest, kind: undefined });
  }
  return values;
}

function sizedValue({ type, dims }: OnnxValue, bindings: Bindings): SizedValue {
  return sized(
    type,
    dims,
    dims.map((dim) => evaluate(dim, bindings)),
  );
}

function sized(type: OnnxElementType, symbolic: OnnxValue["dims"], dims: readonly number[]): SizedValue {
  const bytes = dims.reduce((a, b) => a * b, ELEMENT_BYTES[type]);
  // A scalar is never given used memory.
  return { type, dims, bytes, kind: dims.length === 0 ? undefined : `${ELEMENT_BYTES[type]} ${symbolic.join()}` };
}

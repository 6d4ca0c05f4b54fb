/** The part of the ONNX file format (onnx.proto3, IR version 10) that we write, as plain records. */
import type { StorageDtype } from "../core/dtype.ts";

export type OnnxElementType = "float32" | "float16" | "bfloat16" | "uint8" | "int8" | "int32" | "int64" | "bool";

export type OnnxAttribute =
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "ints"; readonly value: readonly number[] }
  | { readonly kind: "floats"; readonly value: readonly number[] }
  | { readonly kind: "tensor"; readonly value: OnnxTensor };

export interface OnnxNode {
  readonly operator: string;
  /** "" is the default domain; "com.microsoft" holds ONNX Runtime's own operators. */
  readonly domain?: string;
  readonly name?: string;
  readonly inputs: readonly string[]; // "" = absent optional input
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
}

/** A constant: its bytes here (little endian, row-major), or in a file beside the model. */
export interface OnnxTensor {
  readonly name: string;
  readonly type: OnnxElementType;
  readonly dims: readonly number[];
  readonly content:
    | { readonly kind: "bytes"; readonly bytes: Uint8Array }
    | { readonly kind: "external"; readonly location: string; readonly offset: number; readonly length: number };
}

/** A graph input or output; a string dimension is symbolic. */
export interface OnnxValue {
  readonly name: string;
  readonly type: OnnxElementType;
  readonly dims: readonly (number | string)[];
}

export interface OnnxModel {
  /** Version of the default domain's operators. */
  readonly opset: number;
  readonly graphName: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** Types and shapes of values inside the graph: ONNX Runtime cannot infer what a Reshape or Slice to a computed size gives. */
  readonly values?: readonly OnnxValue[];
}

const ELEMENT_TYPES: Readonly<Record<StorageDtype, OnnxElementType>> = { F32: "float32", F16: "float16", BF16: "bfloat16", I8: "int8" };

/** ONNX's name for a safetensors element type. */
export function elementTypeOf(dtype: StorageDtype): OnnxElementType {
  return ELEMENT_TYPES[dtype];
}

/** Writes an ONNX model as the bytes of its file format, protocol buffers. */
import protobuf from "protobufjs/light.js";
import { GiantError } from "../base/errors.ts";
import type { OnnxAttribute, OnnxElementType, OnnxModel, OnnxNode, OnnxTensor, OnnxValue } from "./model.ts";

const IR_VERSION = 10;
const EXTERNAL = 1; // TensorProto.DataLocation

/** TensorProto.DataType. */
const ELEMENT_TYPE: Readonly<Record<OnnxElementType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16,
};

/** AttributeProto.AttributeType. */
const ATTRIBUTE_TYPE: Readonly<Record<OnnxAttribute["kind"], number>> = { float: 1, int: 2, string: 3, tensor: 4, floats: 6, ints: 7 };

type FieldTable = Record<string, readonly [id: number, type: string, rule?: "repeated"]>;

/** The messages and fields of onnx.proto3 that we write: name → [field number, type, rule]. */
const SCHEMA: Readonly<Record<string, FieldTable>> = {
  Model: {
    irVersion: [1, "int64"],
    producerName: [2, "string"],
    graph: [7, "Graph"],
    opsetImport: [8, "OperatorSet", "repeated"],
  },
  OperatorSet: { domain: [1, "string"], version: [2, "int64"] },
  Graph: {
    node: [1, "Node", "repeated"],
    name: [2, "string"],
    initializer: [5, "Tensor", "repeated"],
    input: [11, "ValueInfo", "repeated"],
    output: [12, "ValueInfo", "repeated"],
    valueInfo: [13, "ValueInfo", "repeated"],
  },
  Node: {
    input: [1, "string", "repeated"],
    output: [2, "string", "repeated"],
    name: [3, "string"],
    opType: [4, "string"],
    attribute: [5, "Attribute", "repeated"],
    domain: [7, "string"],
  },
  Attribute: {
    name: [1, "string"],
    f: [2, "float"],
    i: [3, "int64"],
    s: [4, "bytes"],
    t: [5, "Tensor"],
    floats: [7, "float", "repeated"],
    ints: [8, "int64", "repeated"],
    type: [20, "int32"],
  },
  Tensor: {
    dims: [1, "int64", "repeated"],
    dataType: [2, "int32"],
    name: [8, "string"],
    rawData: [9, "bytes"],
    externalData: [13, "StringEntry", "repeated"],
    dataLocation: [14, "int32"],
  },
  StringEntry: { key: [1, "string"], value: [2, "string"] },
  ValueInfo: { name: [1, "string"], type: [2, "Type"] },
  Type: { tensorType: [1, "TensorType"] },
  TensorType: { elemType: [1, "int32"], shape: [2, "TensorShape"] },
  TensorShape: { dim: [1, "Dimension", "repeated"] },
  Dimension: { dimValue: [1, "int64"], dimParam: [2, "string"] },
};

let modelType: protobuf.Type | undefined;

/** Builds the message types once, at first use, so that importing this file costs nothing. */
function modelMessage(): protobuf.Type {
  if (modelType !== undefined) return modelType;
  const root = new protobuf.Root();
  for (const [name, fields] of Object.entries(SCHEMA)) {
    const message = new protobuf.Type(name);
    for (const [field, [id, type, rule]] of Object.entries(fields)) message.add(new protobuf.Field(field, id, type, rule));
    root.add(message);
  }
  return (modelType = root.lookupType("Model"));
}

/**
 * The bytes of an `.onnx` file: IR version 10, the default domain at `model.opset`, `com.microsoft` at 1.
 * Constants are raw little-endian bytes; external ones name file, offset and length (source: onnx.proto3).
 * @throws GiantError("internal") when a constant's bytes do not fill its shape, or the model passes protobuf's 2 GiB.
 */
export function encodeModel(model: OnnxModel): Uint8Array {
  const bytes = modelMessage()
    .encode({
      irVersion: IR_VERSION,
      producerName: "mini-giants",
      opsetImport: [
        { domain: "", version: model.opset },
        { domain: "com.microsoft", version: 1 },
      ],
      graph: {
        name: model.graphName,
        node: model.nodes.map(nodeMessage),
        initializer: model.initializers.map(tensorMessage),
        input: model.inputs.map(valueMessage),
        output: model.outputs.map(valueMessage),
        valueInfo: (model.values ?? []).map(valueMessage),
      },
    })
    .finish();
  if (bytes.length >= 2 ** 31) {
    throw new GiantError("internal", `graph ${model.graphName}: ${bytes.length} bytes, needed less than 2 GiB`, {
      hint: "Keep large constants in a file beside the model.",
    });
  }
  return bytes;
}

function nodeMessage(node: OnnxNode): object {
  return {
    input: node.inputs,
    output: node.outputs,
    opType: node.operator,
    ...(node.name === undefined ? {} : { name: node.name }),
    ...(node.domain === undefined || node.domain === "" ? {} : { domain: node.domain }),
    attribute: Object.entries(node.attributes ?? {}).map(([name, attribute]) => attributeMessage(name, attribute)),
  };
}

function attributeMessage(name: string, attribute: OnnxAttribute): object {
  const head = { name, type: ATTRIBUTE_TYPE[attribute.kind] };
  switch (attribute.kind) {
    case "int":
      return { ...head, i: attribute.value };
    case "float":
      return { ...head, f: attribute.value };
    case "string":
      return { ...head, s: new TextEncoder().encode(attribute.value) };
    case "ints":
      return { ...head, ints: attribute.value };
    case "floats":
      return { ...head, floats: attribute.value };
    case "tensor":
      return { ...head, t: tensorMessage(attribute.value) };
  }
}

function tensorMessage(tensor: OnnxTensor): object {
  const head = { name: tensor.name, dataType: ELEMENT_TYPE[tensor.type], dims: tensor.dims };
  const { content } = tensor;
  const needed = tensor.dims.reduce((a, b) => a * b, 1) * bytesOf(tensor.type);
  const found = content.kind === "bytes" ? content.bytes.length : content.length;
  if (found !== needed) {
    throw new GiantError("internal", `constant ${tensor.name}: ${found} bytes, needed ${needed} for ${tensor.type} [${tensor.dims.join(", ")}]`);
  }
  if (content.kind === "bytes") return { ...head, rawData: content.bytes };
  return {
    ...head,
    dataLocation: EXTERNAL,
    externalData: [
      { key: "location", value: content.location },
      { key: "offset", value: String(content.offset) },
      { key: "length", value: String(content.length) },
    ],
  };
}

function bytesOf(type: OnnxElementType): 1 | 2 | 4 | 8 {
  switch (type) {
    case "bool":
    case "int8":
    case "uint8":
      return 1;
    case "float16":
    case "bfloat16":
      return 2;
    case "float32":
    case "int32":
      return 4;
    case "int64":
      return 8;
  }
}

function valueMessage(value: OnnxValue): object {
  const dim = value.dims.map((d) => (typeof d === "number" ? { dimValue: d } : { dimParam: d }));
  return { name: value.name, type: { tensorType: { elemType: ELEMENT_TYPE[value.type], shape: { dim } } } };
}

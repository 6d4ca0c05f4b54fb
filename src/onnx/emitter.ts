/** Collects the nodes and constants of one ONNX graph while the rules write it. */
import { invariant } from "../base/errors.ts";
import type { HostTensor, StorageDtype } from "../core/dtype.ts";
import { type Dim, numeric, parts, sameShape, type Shape, terms } from "../core/shape.ts";
import { DYNAMIC_MAP } from "../quantize/double-quantization.ts";
import { NF4_PAIRS } from "../quantize/nf4.ts";
import type { OnnxAttribute, OnnxElementType, OnnxNode, OnnxTensor, OnnxValue } from "./model.ts";
import { elementTypeOf } from "./model.ts";

/** Which operators the file may use: fused ones where the device has them, plain ones elsewhere. */
export type Target = "cpu" | "webgpu" | "cuda";

/** Bytes of a file that is named relative to the weights folder. */
export interface FileBytes {
  readonly location: string;
  readonly offset: number;
  readonly bytes: number;
}

/** Where a weight in four bits lies: codes, two a byte, and a magnitude for each block of weights. */
export interface Nf4Location {
  readonly codes: FileBytes;
  /** Weights that share a magnitude. */
  readonly blockSize: number;
  /** As float32, or in eight bits with a float32 for each block of `nestedBlockSize` of them. */
  readonly absmax: FileBytes | { readonly codes: FileBytes; readonly nested: FileBytes; readonly nestedBlockSize: number; readonly offset: number };
}

/** Where a frozen weight's bytes lie. */
export interface WeightLocation extends FileBytes {
  readonly storage: StorageDtype;
  /** Present where it lies in four bits; then the other fields mean nothing. */
  readonly nf4?: Nf4Location;
}

export type Attributes = Readonly<Record<string, OnnxAttribute>>;

export const int = (value: number): OnnxAttribute => ({ kind: "int", value });
export const ints = (value: readonly number[]): OnnxAttribute => ({ kind: "ints", value });
export const float = (value: number): OnnxAttribute => ({ kind: "float", value });
export const text = (value: string): OnnxAttribute => ({ kind: "string", value });

export class Emitter {
  readonly target: Target;
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxTensor[] = [];
  /** Graph input and axis that a symbol is read from at run time. */
  readonly #symbols: Map<string, { readonly input: string; readonly axis: number }>;
  readonly #cache: Map<string, string> = new Map();
  /** Types and shapes of values that are no tensor of the graph: steps within a rule. */
  readonly steps: OnnxValue[] = [];
  /** What a reshaped value was before. */
  readonly #reshaped: Map<string, { readonly name: string; readonly shape: Shape }> = new Map();
  #count = 0;

  constructor(target: Target, symbols: Map<string, { readonly input: string; readonly axis: number }>) {
    this.target = target;
    this.#symbols = symbols;
  }

  /** Adds a node with one output and returns the output's name; the same node is added once. */
  op(operator: string, inputs: readonly string[], attributes: Attributes = {}, domain = ""): string {
    return this.once(`${domain} ${operator} ${inputs.join()} ${JSON.stringify(attributes)}`, () => this.#add(operator, inputs, attributes, domain));
  }

  #add(operator: string, inputs: readonly string[], attributes: Attributes, domain = ""): string {
    const output = `t${this.#count++}`;
    this.nodes.push({ operator, domain, name: `${operator}_${output}`, inputs, outputs: [output], attributes });
    return output;
  }

  /** A half-precision value as float32, made anew at each call: a shared one would stay in memory from first to last use. */
  widened(name: string, shape: Shape): string {
    return this.step(this.#add("Cast", [name], { to: int(1) }), "float32", shape);
  }

  /** Writes down what a step within a rule gives; returns its name. */
  step(name: string, type: OnnxElementType, dims: Shape): string {
    return this.once(`step ${name}`, () => {
      this.steps.push({ name, type, dims });
      return name;
    });
  }

  /** x in another shape; a chain of changes becomes one. */
  reshape(x: string, from: Shape, to: Shape): string {
    const origin = this.#reshaped.get(x) ?? { name: x, shape: from };
    const result = sameShape(origin.shape, to) ? origin.name : this.op("Reshape", [origin.name, this.#reshapeTarget(origin.shape, to)]);
    if (result !== origin.name) this.#reshaped.set(result, origin);
    return result;
  }

  /** An operator of ONNX Runtime's own domain. */
  microsoft(operator: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.op(operator, inputs, attributes, "com.microsoft");
  }

  /** A vector with one dimension's size at run time, as Slice and Pad take it. */
  size(dim: Dim): string {
    return this.#dim(dim);
  }

  /** Computes a name once per key. */
  once(key: string, make: () => string): string {
    let name = this.#cache.get(key);
    if (name === undefined) this.#cache.set(key, (name = make()));
    return name;
  }

  /** A constant given by its elements; equal small constants are shared. */
  constant(value: HostTensor): string {
    const type: OnnxElementType = value.dtype;
    const bytes = new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength);
    return this.#initializer(type, value.shape, bytes);
  }

  scalar(value: number): string {
    return this.constant({ dtype: "float32", shape: [], data: Float32Array.of(value) });
  }

  /** An unsigned byte of rank 0. */
  byte(value: number): string {
    return this.#initializer("uint8", [], Uint8Array.of(value));
  }

  /** A vector of int64, as shapes and axes are given. */
  int64(values: readonly number[]): string {
    const data = BigInt64Array.from(values.map((value) => BigInt(value)));
    return this.#initializer("int64", [values.length], new Uint8Array(data.buffer));
  }

  #initializer(type: OnnxElementType, dims: readonly number[], bytes: Uint8Array): string {
    const add = (): string => {
      const name = `c${this.#count++}`;
      this.initializers.push({ name, type, dims, content: { kind: "bytes", bytes } });
      return name;
    };
    return bytes.length > 64 ? add() : this.once(`${type}[${dims.join()}]${bytes.join()}`, add);
  }

  /** A frozen weight as it lies in its file. */
  weight(name: string, shape: Shape, at: WeightLocation): string {
    const dims = shape.map((dim) => numeric(dim, `a dimension of ${name}`));
    return this.#external(name, elementTypeOf(at.storage), dims, at);
  }

  #external(name: string, type: OnnxElementType, dims: readonly number[], { location, offset, bytes }: FileBytes): string {
    return this.once(`weight ${name}`, () => {
      this.initializers.push({ name, type, dims, content: { kind: "external", location, offset, length: bytes } });
      return name;
    });
  }

  /**
   * A weight in four bits as float32, q_c · s_b, made anew at each call: a shared one would stay in memory from first to
   * last use, and all of them together are the whole model in float32.
   */
  nf4(name: string, shape: Shape, { codes, blockSize, absmax }: Nf4Location): string {
    const dims = shape.map((dim) => numeric(dim, `a dimension of ${name}`));
    const size = dims.reduce((a, b) => a * b, 1);
    const [bytes, blocks] = [Math.ceil(size / 2), Math.ceil(size / blockSize)];
    // Both codes of a byte come from one row of a table.
    const table = this.once("nf4 pairs", () => this.constant({ dtype: "float32", shape: [256, 2], data: NF4_PAIRS }));
    const pairs = this.#looked(this.#external(`${name}.codes`, "uint8", [bytes], codes), table, [bytes], [bytes, 2]);
    const scales = this.#magnitudes(name, blocks, absmax); // [blocks, 1]
    const whole = size % blockSize === 0;
    // A short last block, or half a byte, is cut off.
    const values = whole ? this.#fresh("Reshape", [pairs, this.int64([blocks, blockSize])], [blocks, blockSize]) : this.#first(pairs, 2 * bytes, size);
    const factors = whole
      ? scales
      : this.#first(this.#fresh("Expand", [scales, this.int64([blocks, blockSize])], [blocks, blockSize]), blocks * blockSize, size);
    const product = this.#fresh("Mul", [values, factors], whole ? [blocks, blockSize] : [size]);
    return this.#fresh("Reshape", [product, this.int64(dims)], dims);
  }

  /**
   * x·Wᵀ for a W in four bits that lies as [N, K], in one operator that keeps no float32 copy of W; undefined where it does
   * not apply. Its counterpart for x·W is wrong on the CPU (ONNX Runtime 1.30): gradients go by `nf4`, to the same bits.
   */
  nf4Product(x: string, name: string, [N, K]: readonly [number, number], { codes, blockSize, absmax }: Nf4Location): string | undefined {
    if (this.target !== "cpu" || K % blockSize !== 0) return undefined;
    const blocks = (N * K) / blockSize;
    const packed = this.#external(`${name}.codes`, "uint8", [(N * K) / 2], codes);
    const scales = this.#fresh("Reshape", [this.#magnitudes(name, blocks, absmax), this.int64([blocks])], [blocks]);
    return this.microsoft("MatMulBnb4", [x, packed, scales], { K: int(K), N: int(N), block_size: int(blockSize), quant_type: int(1) });
  }

  /** Magnitudes of blocks as float32, [blocks, 1]. */
  #magnitudes(name: string, blocks: number, at: Nf4Location["absmax"]): string {
    if (!("nested" in at)) return this.#external(`${name}.absmax`, "float32", [blocks, 1], at);
    const groups = Math.ceil(blocks / at.nestedBlockSize);
    const map = this.once("nf4 dynamic map", () => this.constant({ dtype: "float32", shape: [256], data: DYNAMIC_MAP as Float32Array }));
    const values = this.#looked(this.#external(`${name}.absmax`, "uint8", [blocks], at.codes), map, [blocks], [blocks]);
    const nested = this.#external(`${name}.nested_absmax`, "float32", [groups, 1], at.nested);
    const all = this.#fresh("Expand", [nested, this.int64([groups, at.nestedBlockSize])], [groups, at.nestedBlockSize]);
    const product = this.#fresh("Mul", [values, this.#first(all, groups * at.nestedBlockSize, blocks)], [blocks]);
    const sum = this.#fresh("Add", [product, this.scalar(at.offset)], [blocks]);
    return this.#fresh("Reshape", [sum, this.int64([blocks, 1])], [blocks, 1]);
  }

  /** Rows of a table at byte codes. */
  #looked(codes: string, table: string, from: Shape, to: Shape): string {
    const index = this.step(this.#add("Cast", [codes], { to: int(6) }), "int32", from); // Gather takes no bytes
    return this.step(this.#add("Gather", [table, index], { axis: int(0) }), "float32", to);
  }

  /** The first elements of all of a tensor, as a vector. */
  #first(x: string, size: number, count: number): string {
    const flat = this.#fresh("Reshape", [x, this.int64([size])], [size]);
    return count === size ? flat : this.#fresh("Slice", [flat, this.int64([0]), this.int64([count])], [count]);
  }

  /** A float32 node that no other shares. */
  #fresh(operator: string, inputs: readonly string[], dims: Shape): string {
    return this.step(this.#add(operator, inputs, {}), "float32", dims);
  }

  /** A vector of int64 that holds a shape at run time. */
  shape(shape: Shape): string {
    if (shape.every((dim) => typeof dim === "number")) return this.int64(shape as number[]);
    return this.once(`shape ${shape.join()}`, () =>
      this.op(
        "Concat",
        shape.map((dim) => this.#dim(dim)),
        { axis: int(0) },
      ),
    );
  }

  /** The shape argument of a Reshape: as constant as it can be. */
  #reshapeTarget(from: Shape, to: Shape): string {
    const symbolic = to.filter((dim) => typeof dim === "string").length;
    if (symbolic <= 1) return this.int64(to.map((dim) => (typeof dim === "string" ? -1 : dim)));
    // 0 copies the dimension at the same place; at most one remaining symbol may be inferred.
    const copied = to.map((dim, i) => (dim === from[i] ? 0 : dim));
    const left = copied.filter((dim) => typeof dim === "string").length;
    if (left <= 1) return this.int64(copied.map((dim) => (typeof dim === "string" ? -1 : dim)));
    return this.shape(to);
  }

  #dim(dim: Dim): string {
    if (typeof dim === "number") return this.int64([dim]);
    return this.once(`dim ${dim}`, () => {
      const source = this.#symbols.get(dim);
      if (source !== undefined) {
        const shape = this.once(`shape of ${source.input}`, () => this.op("Shape", [source.input]));
        return this.op("Gather", [shape, this.int64([source.axis])], { axis: int(0) });
      }
      const summed = terms(dim);
      if (summed.length > 1) return summed.map((term) => this.#dim(term)).reduce((a, b) => this.op("Add", [a, b]));
      const { coefficient, symbols } = parts(dim);
      if (symbols.length === 1 && coefficient === 1) {
        const multiple = [...this.#symbols.keys()].find((known) => parts(known).symbols.join() === dim);
        if (multiple !== undefined) return this.op("Div", [this.#dim(multiple), this.int64([parts(multiple).coefficient])]);
      }
      invariant(symbols.length > 1 || coefficient !== 1, `no graph input tells the size of ${dim}`);
      const value = symbols.map((symbol) => this.#dim(symbol)).reduce((a, b) => this.op("Mul", [a, b]));
      return coefficient === 1 ? value : this.op("Mul", [value, this.int64([coefficient])]);
    });
  }
}

/** What a model asks its surroundings for: an adaptation method answers in place of the plain context. */
import { add, gather, matmul, mul, type QuantizedMatrix, quantizedMatmul, reshape, slice, sum } from "../core/operations.ts";
import { checkpoint } from "../core/gradient.ts";
import type { Tensor } from "../core/tensor.ts";
import { invariant } from "../base/errors.ts";
import { attention, type AttentionInputs } from "./attention.ts";

/** A linear layer as a checkpoint stores it. */
export interface LinearSpec {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly bias: boolean;
  /** The weight is stored [in, out] (GPT-2's Conv1D) and not [out, in]. */
  readonly transposed?: boolean;
  /** The parameter that is shared with this layer (a head tied to the token embedding). */
  readonly tiedTo?: string;
}

export interface EmbeddingSpec {
  readonly rows: number;
  readonly width: number;
}

/** The two parts of a block that add to the residual stream. */
export type SublayerKind = "attention" | "mlp";

export interface ModelContext {
  /** A parameter by its name in the checkpoint; `module` is the path of the layer that uses it. */
  parameter(name: string, shape: readonly number[], module?: string): Tensor;
  /** x [N, in] → [N, out]. */
  linear(path: string, x: Tensor, spec: LinearSpec): Tensor;
  /**
   * `length` of the outputs from `start` on: x [N, in] → [N, length]. Absent where a method changes linear layers in a way
   * that it does not give in parts.
   */
  readonly linearRange?: (path: string, x: Tensor, spec: LinearSpec, start: number, length: number) => Tensor;
  /** Only output ids[n] of row n: x [N, in], ids [N] → [N, 1]. A loss needs no more of the true class. */
  linearAt(path: string, x: Tensor, ids: Tensor, spec: LinearSpec): Tensor;
  /** ids [...] → [..., width]. */
  embedding(path: string, ids: Tensor, spec: EmbeddingSpec): Tensor;
  /** The mixing of values in an attention module, before its output layer: [B, T, H, D] queries → [B*T, H*D]. */
  attention(path: string, inputs: AttentionInputs): Tensor;
  /** The residual stream [N, C] behind a sub-layer of the block `path`: the stream before it, and what the sub-layer adds. */
  sublayer(path: string, kind: SublayerKind, residual: Tensor, output: Tensor): Tensor;
  /** One block of the model: h [N, C] → [N, C]. */
  block(path: string, h: Tensor, compute: (h: Tensor) => Tensor): Tensor;
}

/** Σ over the last axis of a·b: [N, C], [N, C] → [N, 1]. */
export function rowDot(a: Tensor, b: Tensor): Tensor {
  return sum(mul(a, b), [-1]);
}

/** The module path of a parameter: all of its name but the last part. */
export function moduleOf(parameterName: string): string {
  return parameterName.slice(0, parameterName.lastIndexOf("."));
}

/** A linear layer's weight in int8: [in, out], and its transpose for the backward pass. */
export interface QuantizedWeight {
  readonly weight: QuantizedMatrix;
  readonly transposed: QuantizedMatrix;
}

export interface PlainContextOptions {
  /** Makes the leaf for a parameter as seen from the module that uses it. */
  readonly leaf: (name: string, shape: readonly number[], module: string) => Tensor;
  /** Recompute each block in the backward pass. */
  readonly recompute?: boolean;
  /** The int8 form of the parameter that a linear layer multiplies by, where the layer is to be computed with it. */
  readonly quantized?: ((parameter: string, spec: LinearSpec, module: string) => QuantizedWeight | undefined) | undefined;
}

/** The base model as it is. */
export function plainContext({ leaf, recompute = false, quantized }: PlainContextOptions): ModelContext {
  const weightName = (path: string, spec: LinearSpec): string => spec.tiedTo ?? `${path}.weight`;
  const weightOf = (context: ModelContext, path: string, spec: LinearSpec): Tensor => {
    const shape = spec.transposed ? [spec.inFeatures, spec.outFeatures] : [spec.outFeatures, spec.inFeatures];
    return context.parameter(weightName(path, spec), shape, path);
  };
  const product = (path: string, x: Tensor, spec: LinearSpec): Tensor => {
    const int8 = quantized?.(weightName(path, spec), spec, path);
    return int8 === undefined ? matmul(x, weightOf(context, path, spec), { transposeB: !spec.transposed }) : quantizedMatmul(x, int8.weight, int8.transposed);
  };
  const context: ModelContext = {
    parameter: (name, shape, module = moduleOf(name)) => leaf(name, shape, module),
    linear(path, x, spec) {
      const y = product(path, x, spec);
      return spec.bias ? add(y, context.parameter(`${path}.bias`, [spec.outFeatures], path)) : y;
    },
    linearRange(path, x, spec, start, length) {
      const weight = slice(weightOf(context, path, spec), spec.transposed ? 1 : 0, start, length);
      const y = matmul(x, weight, { transposeB: !spec.transposed });
      return spec.bias ? add(y, slice(context.parameter(`${path}.bias`, [spec.outFeatures], path), 0, start, length)) : y;
    },
    linearAt(path, x, ids, spec) {
      invariant(!spec.transposed, `linearAt needs the rows of ${path} to be outputs`);
      const y = rowDot(x, gather(weightOf(context, path, spec), ids));
      if (!spec.bias) return y;
      const bias = gather(context.parameter(`${path}.bias`, [spec.outFeatures], path), ids);
      return add(y, reshape(bias, y.shape));
    },
    embedding(path, ids, spec) {
      return gather(context.parameter(`${path}.weight`, [spec.rows, spec.width], path), ids);
    },
    attention: (_, inputs) => attention(inputs),
    sublayer: (_path, _kind, residual, output) => add(residual, output),
    block(_, h, compute) {
      return recompute ? checkpoint(compute, [h]) : compute(h);
    },
  };
  return context;
}

/**
 * A context that answers some questions itself and passes the rest on. The inner context's own calls do not come back
 * here: a method composes by calling `inner`. Who answers for linear layers must do so for parts of them too, or there are none.
 */
export function extendContext(inner: ModelContext, overrides: Partial<ModelContext>): ModelContext {
  const { linearRange } = inner;
  return {
    parameter: (name, shape, module) => inner.parameter(name, shape, module),
    linear: (path, x, spec) => inner.linear(path, x, spec),
    ...(linearRange !== undefined && overrides.linear === undefined && { linearRange }),
    linearAt: (path, x, ids, spec) => inner.linearAt(path, x, ids, spec),
    embedding: (path, ids, spec) => inner.embedding(path, ids, spec),
    attention: (path, inputs) => inner.attention(path, inputs),
    sublayer: (path, kind, residual, output) => inner.sublayer(path, kind, residual, output),
    block: (path, h, compute) => inner.block(path, h, compute),
    ...overrides,
  };
}

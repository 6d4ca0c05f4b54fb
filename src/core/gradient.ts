/** Reverse-mode differentiation over the graph, with recomputation of marked blocks. */
import { invariant } from "../base/errors.ts";
import { gradientRules, type GradientRule } from "./gradient-rules.ts";
import * as T from "./operations.ts";
import { formatShape, sameShape } from "./shape.ts";
import type { OperatorName, Tensor } from "./tensor.ts";

/** A piece of the graph that is differentiated as one: computed again in the backward pass, or by a rule of its own. */
type Block =
  | {
      readonly kind: "recomputed";
      readonly inputs: readonly Tensor[];
      readonly compute: (...inputs: Tensor[]) => Tensor;
      /** What it has in common with those it takes turns with. */
      readonly queue?: object;
    }
  | { readonly kind: "ruled"; readonly inputs: readonly Tensor[]; readonly rule: (dy: Tensor) => readonly (Tensor | undefined)[] };

const blocks: WeakMap<Tensor, Block> = new WeakMap();

/**
 * Computes `compute(...inputs)`; a gradient through the result runs `compute` again instead of keeping what it made
 * (Chen et al. 2016, arXiv 1604.06174). `compute` must be pure; tensors it captures must not depend on a trained tensor,
 * unless they are leaves.
 */
export function checkpoint(compute: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]): Tensor {
  const result = compute(...inputs);
  blocks.set(result, { kind: "recomputed", inputs, compute });
  return result;
}

/**
 * Several checkpoints of the same inputs, whose backward passes run one after the other: none computes anything again
 * before the one whose turn it was has added its share to the gradient of the first input.
 */
export function checkpointsInTurn(computes: readonly ((...inputs: Tensor[]) => Tensor)[], inputs: readonly Tensor[]): Tensor[] {
  const queue = {};
  return computes.map((compute) => {
    const result = compute(...inputs);
    blocks.set(result, { kind: "recomputed", inputs, compute, queue });
    return result;
  });
}

/**
 * Marks `result`, computed from `inputs`, as differentiated by `rule` and not operator by operator: for a derivative that
 * needs fewer passes than the chain rule finds. Nothing inside may depend on a trained tensor that is not in `inputs`.
 */
export function withGradient(result: Tensor, inputs: readonly Tensor[], rule: (dy: Tensor) => readonly (Tensor | undefined)[]): Tensor {
  blocks.set(result, { kind: "ruled", inputs, rule });
  return result;
}

/** ∂loss/∂t for each t of `wrt`, in order; a tensor the loss does not depend on gets zeros. `loss` has rank 0. */
export function gradient(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  invariant(loss.shape.length === 0, `a gradient needs a loss of rank 0, got ${formatShape(loss.shape)}`);
  const found = backward(loss, T.scalar(1), wrt);
  return wrt.map((tensor, i) => found[i] ?? T.scale(tensor, 0));
}

/** Vector-Jacobian product: given dy of `root`, the gradients of `wrt`. */
function backward(root: Tensor, seed: Tensor, wrt: readonly Tensor[]): (Tensor | undefined)[] {
  const wanted = new Set(wrt);
  const walk = needed(root, wanted);
  const gradients = new Map<Tensor, Tensor>([[root, seed]]);
  const give = (tensor: Tensor, gradient: Tensor | undefined): void => {
    if (gradient === undefined || !walk.depends.has(tensor)) return;
    invariant(sameShape(gradient.shape, tensor.shape), `gradient of ${tensor.op} has shape ${formatShape(gradient.shape)}, needs ${formatShape(tensor.shape)}`);
    const sum = gradients.get(tensor);
    gradients.set(tensor, sum === undefined ? gradient : T.add(sum, gradient));
  };
  /** What was given last by those who take turns. */
  const turns = new Map<object, Tensor>();
  for (const tensor of walk.order.toReversed()) {
    const dy = gradients.get(tensor);
    if (dy === undefined || wanted.has(tensor)) continue;
    gradients.delete(tensor);
    const block = blocks.get(tensor);
    if (block === undefined) {
      const rule = gradientRules[tensor.op] as GradientRule<OperatorName>;
      const needs = tensor.inputs.map((input) => walk.depends.has(input));
      rule(tensor, dy, needs).forEach((gradient, i) => give(tensor.inputs[i]!, gradient));
    } else if (block.kind === "ruled") {
      block.rule(dy).forEach((gradient, i) => give(block.inputs[i]!, gradient));
    } else {
      const given = block.queue && turns.get(block.queue);
      const awaited = given === undefined ? [dy] : [dy, given];
      const inputs = block.inputs.map((input) => (input.dtype === "float32" ? after(input, awaited) : input));
      const leaves = walk.capturedBy.get(tensor)!;
      const targets = [...inputs, ...leaves];
      const found = backward(block.compute(...inputs), dy, targets);
      [...block.inputs, ...leaves].forEach((target, i) => give(target, found[i]));
      const sum = gradients.get(block.inputs[0]!);
      if (block.queue !== undefined && sum !== undefined) turns.set(block.queue, sum);
    }
  }
  return wrt.map((tensor) => gradients.get(tensor));
}

/**
 * The input as a value that cannot be computed before all of `awaited` is known: ONNX Runtime merges equal
 * sub-expressions, and would otherwise keep the first computation's results for the second.
 */
function after(input: Tensor, awaited: readonly Tensor[]): Tensor {
  const elements = awaited.map((tensor) => {
    let element = tensor;
    tensor.shape.forEach((_, axis) => (element = T.slice(element, axis, 0, 1)));
    return T.reshape(element, []);
  });
  return T.add(input, T.scale(elements.reduce(T.add), 0));
}

interface Walk {
  /** The nodes between `wanted` and the root, inputs before users; a block counts as one node. */
  readonly order: readonly Tensor[];
  readonly depends: ReadonlySet<Tensor>;
  /** The wanted leaves that a block uses without naming them as inputs. */
  readonly capturedBy: ReadonlyMap<Tensor, readonly Tensor[]>;
}

function needed(root: Tensor, wanted: ReadonlySet<Tensor>): Walk {
  const capturedBy = new Map<Tensor, readonly Tensor[]>();
  const order: Tensor[] = [];
  const depends = new Set<Tensor>();
  const visited = new Set<Tensor>();
  const sourcesOf = (tensor: Tensor): readonly Tensor[] => {
    if (wanted.has(tensor)) return [];
    const block = blocks.get(tensor);
    if (block === undefined) return tensor.inputs;
    if (block.kind === "ruled") return block.inputs;
    const captured = leavesInside(tensor, block, wanted);
    capturedBy.set(tensor, captured);
    return [...block.inputs, ...captured];
  };
  const stack: { tensor: Tensor; sources: readonly Tensor[]; next: number }[] = [];
  const push = (tensor: Tensor): void => {
    if (visited.has(tensor)) return;
    visited.add(tensor);
    stack.push({ tensor, sources: sourcesOf(tensor), next: 0 });
  };
  push(root);
  while (stack.length > 0) {
    const frame = stack[stack.length - 1]!;
    const source = frame.sources[frame.next++];
    if (source !== undefined) {
      push(source);
      continue;
    }
    stack.pop();
    if (wanted.has(frame.tensor) || frame.sources.some((s) => depends.has(s))) {
      depends.add(frame.tensor);
      order.push(frame.tensor);
    }
  }
  return { order, depends, capturedBy };
}

function leavesInside(result: Tensor, block: Block, wanted: ReadonlySet<Tensor>): Tensor[] {
  const boundary = new Set(block.inputs);
  const seen = new Set<Tensor>();
  const leaves: Tensor[] = [];
  const stack = [result];
  for (let tensor = stack.pop(); tensor !== undefined; tensor = stack.pop()) {
    if (seen.has(tensor) || boundary.has(tensor)) continue;
    seen.add(tensor);
    if (wanted.has(tensor)) leaves.push(tensor);
    else stack.push(...tensor.inputs);
  }
  return leaves.toSorted((a, b) => a.id - b.id);
}

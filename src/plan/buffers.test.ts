import { describe, expect, test } from "vitest";
import type { OnnxModel, OnnxNode } from "../onnx/model.ts";
import { planBuffers } from "./buffers.ts";
import { executionOrder } from "./execution-order.ts";
import { programMemory } from "./program-memory.ts";
import { sizedValues } from "./values.ts";

const node = (operator: string, inputs: readonly string[], output: string): OnnxNode => ({ operator, inputs, outputs: [output] });

/** Every value a vector of T float32s; `y` is the output. */
function vectors(nodes: readonly OnnxNode[], outputs: readonly string[] = ["y"]): OnnxModel {
  const value = (name: string): OnnxModel["inputs"][number] => ({ name, type: "float32", dims: ["T"] });
  const made = nodes.map(({ outputs: [name] }) => name!);
  return {
    opset: 23,
    graphName: "test",
    nodes,
    initializers: [],
    inputs: [value("x")],
    outputs: outputs.map(value),
    values: made.filter((name) => !outputs.includes(name)).map(value),
  };
}

const T = new Map([["T", 1000]]);
const BYTES = 4000; // of one vector

describe("order of execution", () => {
  test("the last unused node in the file comes first, with all it needs", () => {
    const nodes = [node("Neg", ["x"], "a"), node("Neg", ["a"], "late"), node("Exp", ["x"], "b"), node("Exp", ["b"], "soon")];
    expect(executionOrder(nodes).map(({ outputs }) => outputs[0])).toEqual(["b", "soon", "a", "late"]);
  });

  test("of two operands the one that is written last is computed first", () => {
    const nodes = [node("Neg", ["x"], "a"), node("Exp", ["x"], "b"), node("Add", ["a", "b"], "y")];
    expect(executionOrder(nodes).map(({ outputs }) => outputs[0])).toEqual(["b", "a", "y"]);
  });
});

describe("buffers", () => {
  test("a chain needs two vectors at a time, however long it is", () => {
    // a is dead once b is there: c takes its buffer, and d that of b.
    const model = vectors([node("Neg", ["x"], "a"), node("Exp", ["a"], "b"), node("Neg", ["b"], "c"), node("Exp", ["c"], "d"), node("Neg", ["d"], "y")]);
    expect(programMemory(model, { bindings: T }).liveBytes).toBe(2 * BYTES);
  });

  test("what is needed later is kept", () => {
    // a waits for y while b and c come and go: three at once.
    const model = vectors([node("Neg", ["x"], "a"), node("Exp", ["a"], "b"), node("Neg", ["b"], "c"), node("Add", ["a", "c"], "y")]);
    expect(programMemory(model, { bindings: T })).toMatchObject({ liveBytes: 3 * BYTES, outputBytes: BYTES, mappedBytes: 0, packedBytes: 0, nodes: 4 });
  });

  test("an operator that may write over its input does so when nobody else needs it", () => {
    const alone = vectors([node("Neg", ["x"], "a"), node("Sigmoid", ["a"], "b"), node("Neg", ["b"], "y")]);
    expect(programMemory(alone, { bindings: T }).liveBytes).toBe(BYTES);
    const shared = vectors([node("Neg", ["x"], "a"), node("Sigmoid", ["a"], "b"), node("Add", ["a", "b"], "y")]);
    expect(programMemory(shared, { bindings: T }).liveBytes).toBe(2 * BYTES);
  });

  test("a view has no memory of its own and keeps that of what it looks at", () => {
    const model = vectors([node("Neg", ["x"], "a"), node("Reshape", ["a"], "view"), node("Exp", ["view"], "b"), node("Add", ["view", "b"], "y")]);
    const plan = planBuffers(model, sizedValues(model, T));
    expect(plan.map(({ takes }) => takes)).toEqual([["a"], [], ["b"], []]);
    expect(plan.map(({ gives }) => gives)).toEqual([[], [], [], ["a", "b"]]);
  });

  test("a buffer that is handed on stays taken in between", () => {
    // x → a → p, an output; then x → b → q: b may take a's buffer, which is therefore not given back before.
    const model = vectors([node("Exp", ["x"], "b"), node("Neg", ["x"], "a"), node("Neg", ["b"], "q"), node("Neg", ["a"], "p")], ["p", "q"]);
    const plan = planBuffers(model, sizedValues(model, T));
    expect(plan.map(({ node: { outputs } }) => outputs[0])).toEqual(["a", "p", "b", "q"]);
    expect(plan.map(({ takes }) => takes)).toEqual([["a"], [], [], []]);
    expect(plan.map(({ gives }) => gives)).toEqual([[], [], [], ["a"]]);
  });

  test("logits are told apart", () => {
    const model: OnnxModel = {
      ...vectors([node("Neg", ["x"], "a"), node("Exp", ["a"], "logits"), node("ReduceMax", ["logits"], "y")]),
      values: [
        { name: "a", type: "float32", dims: ["T"] },
        { name: "logits", type: "float32", dims: ["N", 50] },
      ],
    };
    const memory = programMemory(model, { bindings: new Map([...T, ["N", 20]]), vocabulary: 50 });
    expect(memory).toMatchObject({ liveBytes: BYTES + 4 * 20 * 50, logitBytes: 4 * 20 * 50 });
  });
});

describe("frozen weights", () => {
  const weighted = (inputs: readonly string[]): OnnxModel => ({
    ...vectors([node("Gemm", inputs, "y")]),
    initializers: [{ name: "w", type: "float32", dims: [100, 30], content: { kind: "external", location: "f", offset: 0, length: 12_000 } }],
  });

  test("packing copies the second operand of a product, in panels of 16 columns, and lets the file go", () => {
    expect(programMemory(weighted(["x", "w"]), { bindings: T, packs: true })).toMatchObject({ mappedBytes: 0, packedBytes: 4 * 100 * 32 });
    expect(programMemory(weighted(["x", "w"]), { bindings: T })).toMatchObject({ mappedBytes: 12_000, packedBytes: 0 });
  });

  test("what is read otherwise stays mapped", () => {
    expect(programMemory(weighted(["w", "x"]), { bindings: T, packs: true })).toMatchObject({ mappedBytes: 12_000, packedBytes: 0 });
  });
});

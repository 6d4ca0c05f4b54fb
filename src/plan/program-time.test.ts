import { describe, expect, test } from "vitest";
import type { OnnxModel, OnnxNode } from "../onnx/model.ts";
import { type MachineFigures, USUAL_MACHINE } from "./machine.ts";
import { programSeconds, rateAt } from "./program-time.ts";
import { programWork } from "./work.ts";

/** Everything but what a test looks at takes no time. */
const free: MachineFigures = {
  ...USUAL_MACHINE,
  products: {
    NN: { seconds: 0, flopsPerSecond: Infinity, bytesPerSecond: Infinity },
    NT: { seconds: 0, flopsPerSecond: Infinity, bytesPerSecond: Infinity },
    TN: { seconds: 0, flopsPerSecond: Infinity, bytesPerSecond: Infinity },
  },
  rowProductBytesPerSecond: Infinity,
  elementwise: [{ bytes: 1, bytesPerSecond: Infinity }],
  softmaxBytesPerSecond: Infinity,
  movement: [{ bytes: 1, bytesPerSecond: Infinity }],
  secondsPerOperator: 0,
  secondsPerTensor: 0,
};

function graph(node: Omit<OnnxNode, "outputs">, inputs: Record<string, readonly (number | string)[]>, output: readonly (number | string)[]): OnnxModel {
  return {
    opset: 23,
    graphName: "test",
    nodes: [{ ...node, outputs: ["y"] }],
    initializers: [],
    inputs: Object.entries(inputs).map(([name, dims]) => ({ name, type: "float32", dims })),
    outputs: [{ name: "y", type: "float32", dims: output }],
  };
}

const T = new Map([["T", 10]]);

describe("work", () => {
  test("a product counts two operations for each place of output and depth", () => {
    const model = graph({ operator: "Gemm", inputs: ["a", "b"], attributes: { transB: { kind: "int", value: 1 } } }, { a: ["T", 20], b: [30, 20] }, ["T", 30]);
    const { nodes, flops, tensors } = programWork(model, T);
    expect(nodes).toEqual([{ kind: "product", orientation: "NT", flops: 2 * 10 * 20 * 30, bytes: 4 * (200 + 600 + 300), rows: 10 }]);
    expect([flops, tensors]).toEqual([12_000, 3]);
    expect(
      programSeconds({ nodes, flops, tensors }, { ...free, products: { ...free.products, NT: { seconds: 7, flopsPerSecond: 1000, bytesPerSecond: 100 } } }),
    ).toBe(7 + 12 + 44);
  });

  test("a transposed first operand has its depth in front", () => {
    const model = graph(
      { operator: "FusedMatMul", inputs: ["a", "b"], attributes: { transA: { kind: "int", value: 1 } } },
      { a: [5, "T", 20], b: [5, "T", 30] },
      [5, 20, 30],
    );
    expect(programWork(model, T).nodes[0]).toMatchObject({ orientation: "TN", flops: 2 * 5 * 20 * 30 * 10 });
  });

  test("a product of one row is bound by reading its matrix", () => {
    const work = programWork(graph({ operator: "Gemm", inputs: ["a", "b"] }, { a: [1, 20], b: [20, 30] }, [1, 30]), T);
    expect(programSeconds(work, { ...free, rowProductBytesPerSecond: 10 })).toBe((4 * (20 + 600 + 30)) / 10);
  });

  test("a look-up reads no more than it gives", () => {
    const work = programWork(graph({ operator: "Gather", inputs: ["a", "b"] }, { a: [100_000, 8], b: ["T"] }, ["T", 8]), T);
    expect(work.nodes).toEqual([{ kind: "movement", bytes: 2 * 4 * 80 }]);
  });

  test("a view costs its operator alone", () => {
    const work = programWork(graph({ operator: "Reshape", inputs: ["a"] }, { a: ["T", 8] }, ["T", 8]), T);
    expect(programSeconds(work, { ...free, secondsPerOperator: 3, secondsPerTensor: 5 })).toBe(3 + 2 * 5);
  });
});

describe("rates", () => {
  const rates = [
    { bytes: 100, bytesPerSecond: 10 },
    { bytes: 10_000, bytesPerSecond: 30 },
  ];

  test("between two sizes the rate goes along the logarithm; beyond them it stays", () => {
    expect(rateAt(rates, 1000)).toBeCloseTo(20, 12);
    expect([rateAt(rates, 1), rateAt(rates, 1e9)]).toEqual([10, 30]);
  });
});

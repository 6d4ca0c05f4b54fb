/** The file format written byte by byte; that ONNX Runtime reads it is tested with the engine. */
import { expect, test } from "vitest";
import type { OnnxModel, OnnxNode } from "./model.ts";
import { encodeModel } from "./protobuf.ts";

function model(nodes: readonly OnnxNode[]): OnnxModel {
  const value = (name: string) => ({ name, type: "float32", dims: ["N"] }) as const;
  return { opset: 21, graphName: "g", nodes, initializers: [], inputs: [value("x")], outputs: [value("y")] };
}

test("a graph of one node has the bytes that onnx.proto3's field numbers give", () => {
  const bytes = encodeModel(model([{ operator: "Abs", inputs: ["x"], outputs: ["y"] }]));
  const value = (name: string): string => `0a01${name}120b0a09080112050a0312014e`; // tensor(float), dim_param "N"
  const graph = ["0a0b" + "0a0178" + "120179" + "2203416273", "120167", "5a10" + value("78"), "6210" + value("79")].join("");
  const header = "080a" + "120b" + Buffer.from("mini-giants").toString("hex");
  const opsets = "4204" + "0a00" + "1015" + "4211" + "0a0d" + Buffer.from("com.microsoft").toString("hex") + "1001";
  const hex = Buffer.from(bytes).toString("hex");
  expect(hex).toBe(header + "3a" + (graph.length / 2).toString(16).padStart(2, "0") + graph + opsets);
});

test("10,000 nodes are written in well under a second", () => {
  const nodes = Array.from({ length: 10_000 }, (_, i) => ({ operator: "Add", inputs: [`t${i}`, "x"], outputs: [`t${i + 1}`] }));
  const start = performance.now();
  expect(encodeModel(model(nodes)).length).toBeGreaterThan(200_000);
  expect(performance.now() - start).toBeLessThan(1000);
});

test("a constant whose bytes do not fill its shape is refused by name", () => {
  const wrong: OnnxModel = {
    ...model([]),
    initializers: [{ name: "w", type: "bfloat16", dims: [2, 3], content: { kind: "external", location: "w", offset: 0, length: 24 } }],
  };
  expect(() => encodeModel(wrong)).toThrow("constant w: 24 bytes, needed 12 for bfloat16 [2, 3]");
});

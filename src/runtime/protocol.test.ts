/** Errors of ONNX Runtime as the user sees them. */
import { expect, test } from "vitest";
import { GiantError } from "../base/errors.ts";
import { fromWire, oneLine, toWire } from "./protocol.ts";

test("source positions go, the operator stays", () => {
  const message =
    "Non-zero status code returned while running Sub node. Name:'blocks.3.sub' Status Message: /src/core/op_kernel.cc:83 virtual OrtValue* " +
    "OutputMLValue(int, const TensorShape&) [ONNXRuntimeError] : 2 : INVALID_ARGUMENT : The output\n has shape {4}.\n";
  expect(oneLine(message)).toBe("Sub blocks.3.sub: The output has shape {4}.");
});

test("a long message is cut", () => {
  expect(oneLine("x".repeat(10_000)).length).toBe(500);
});

test("an error of ours crosses unchanged; another gets its place and a code", () => {
  const ours = new GiantError("memory", "too large", { hint: "less" });
  expect(fromWire(toWire(ours, "running a graph"))).toMatchObject({ code: "memory", message: "too large", hint: "less" });
  expect(toWire(new Error("Failed to allocate memory for requested buffer of size 1"), "running a graph")).toMatchObject({ code: "memory" });
  expect(toWire(new Error("odd"), "running a graph")).toMatchObject({ code: "internal", message: "running a graph: odd" });
});

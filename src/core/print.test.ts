import { expect, test } from "vitest";
import { gradient } from "./gradient.ts";
import { add, gather, input, integer, mul, parameter, rmsNorm, matmul, scale, silu, sumAll } from "./operations.ts";
import { print } from "./print.ts";

test("a graph and its gradient are printed node by node", async () => {
  const x = rmsNorm(gather(parameter("embedding", [10, 4]), input("tokens", "int32", ["N"])), parameter("norm", [4]), 1e-5);
  const A = input("A", "float32", [2, 4]);
  const low = scale(matmul(x, A, { transposeB: true }), 2);
  const y = silu(add(matmul(x, parameter("W", [6, 4]), { transposeB: true }), matmul(low, input("B", "float32", [6, 2]), { transposeB: true })));
  const loss = sumAll(mul(y, y));
  const [dA] = gradient(loss, [A]);
  await expect(print({ loss, dA: dA!, one: integer(1) })).toMatchFileSnapshot("../../test/text/graph.txt");
});

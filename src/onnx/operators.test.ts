/** Every operator and its gradient on real devices, against the float64 interpreter. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildCase, operatorCases } from "../../test/operator-cases.ts";
import { INT8_PRODUCT_OF_MAXIMUM, OPERATOR_OF_MAXIMUM, worstExcess } from "../../test/tolerance.ts";
import { useSoftwareWebgpu } from "../../test/webgpu.ts";
import type { HostTensor } from "../core/dtype.ts";
import { gradient } from "../core/gradient.ts";
import { interpret } from "../core/interpret.ts";
import { cast, mul, sumAll } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { emit } from "./emit.ts";
import { encodeModel } from "./protobuf.ts";

describe.each(["cpu", "webgpu"] as const)("on %s", (device) => {
  let engine: Engine;
  beforeAll(async () => {
    if (device === "webgpu") useSoftwareWebgpu();
    engine = await startEngine({ device, threads: 2 });
  });
  afterAll(() => engine?.close());

  for (const [operator, cases] of Object.entries(operatorCases)) {
    for (const [i, operatorCase] of cases.entries()) {
      it(`${operator} ${operatorCase.name}`, async () => {
        const { y, floats, feeds } = buildCase(operatorCase, 200 + i);
        const value = y.dtype === "bool" ? cast(y, "float32") : y;
        const outputs: Record<string, Tensor> = { y: value };
        const wrt = operatorCase.differentiable ?? floats.map((_, j) => j);
        // Σ y² as the loss: its gradient depends on every element of y.
        const gradients = gradient(
          sumAll(mul(value, value)),
          wrt.map((j) => floats[j]!),
        );
        wrt.forEach((j, k) => (outputs[`g${j}`] = gradients[k]!));
        const program = await engine.open(encodeModel(emit(outputs, { target: engine.device })));
        const used = Object.fromEntries(program.inputNames.map((name) => [name, feeds[name]!]));
        const found = await program.run(used, Object.fromEntries(Object.keys(outputs).map((name) => [name, "host" as const])));
        const expected = interpret(outputs, feeds);
        for (const name of Object.keys(outputs)) {
          const reference = expected[name]!;
          const tensor = found[name] as HostTensor;
          expect(tensor.shape).toEqual(reference.shape);
          const largest = reference.data.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
          const tolerance = operator === "quantizedMatmul" && device === "cpu" ? INT8_PRODUCT_OF_MAXIMUM : OPERATOR_OF_MAXIMUM;
          const worst = worstExcess(tensor.data, reference.data, { absolute: tolerance * Math.max(largest, 1e-3), relative: 0 });
          expect(worst.excess, `${name}[${worst.index}]: device ${worst.actual}, interpreter ${worst.expected}`).toBeLessThanOrEqual(1);
        }
        await program.close();
      });
    }
  }
});

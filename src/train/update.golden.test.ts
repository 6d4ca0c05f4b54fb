import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenFolder, readJson } from "../../test/golden.ts";
import { ACTIVATION, CLIPPING, GRADIENT_OF_MAXIMUM, LOSS, TRAINED_WEIGHT, worstExcess } from "../../test/tolerance.ts";
import { floats, type HostTensor, integers } from "../core/dtype.ts";
import { gradient } from "../core/gradient.ts";
import * as T from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";
import { readSafetensorsHeader, readTensor } from "../io/safetensors.ts";
import { activation } from "../nn/activation.ts";
import { crossEntropy } from "../nn/loss.ts";
import { emit } from "../onnx/emit.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import type { Engine } from "../runtime/engine.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { gradientOf, momentsOf, updateGraph } from "./step-graph.ts";

interface OptimizerRun {
  readonly name: string;
  readonly optimizer: string;
  readonly group: { readonly betas?: [number, number]; readonly eps: number; readonly weight_decay: number; readonly amsgrad?: boolean };
  readonly steps: number;
  readonly clip: number | null;
  readonly lr: readonly number[];
}

const folder = join(goldenFolder(), "optim");
const at = (...name: string[]): string => join(folder, ...name);

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine({ device: "cpu", threads: 2 });
});
afterAll(() => engine.close());

async function tensorsOf(file: string): Promise<(name: string) => Promise<{ shape: number[]; data: Float32Array }>> {
  const { entries } = await readSafetensorsHeader(file);
  return async (name) => ({ shape: [...entries.get(name)!.shape], data: await readTensor(entries.get(name)!) });
}

async function evaluate(outputs: Record<string, Tensor>, feeds: Record<string, HostTensor>): Promise<Record<string, Float32Array>> {
  const program = await engine.open(encodeModel(emit(outputs, { target: "cpu" })));
  const found = await program.run(
    Object.fromEntries(program.inputNames.map((name) => [name, feeds[name]!])),
    Object.fromEntries(Object.keys(outputs).map((name) => [name, "host" as const])),
  );
  await program.close();
  return Object.fromEntries(Object.entries(found).map(([name, tensor]) => [name, (tensor as HostTensor).data as Float32Array]));
}

describe.runIf(existsSync(at("optimizers.json")))("optim/optimizers", () => {
  for (const run of existsSync(at("optimizers.json")) ? readJson<{ runs: OptimizerRun[] }>(at("optimizers.json")).runs : []) {
    it(run.name, async (context) => {
      const { betas, eps, weight_decay, amsgrad } = run.group;
      if (run.optimizer !== "AdamW" || amsgrad === true || betas === undefined)
        return context.skip(`not covered: ${run.name}: optimiser ${run.optimizer}${amsgrad ? " with amsgrad" : ""}`);
      const tensor = await tensorsOf(at("optimizers.safetensors"));
      const names = ["w", "b"] as const;
      const start = { w: await tensor(`${run.name}.w0`), b: await tensor(`${run.name}.b0`) };
      const decays = (name: string): boolean => name === "w" || !run.name.includes("nodecay_bias");
      const graph = updateGraph(
        names.map((name) => ({ name, shape: start[name].shape, decays: decays(name) })),
        { beta1: betas[0], beta2: betas[1], epsilon: eps, weightDecay: weight_decay },
        run.clip ?? 0,
      );
      const values = new Map<string, HostTensor>();
      for (const name of names) {
        values.set(name, floats(start[name].shape, start[name].data));
        for (const moment of momentsOf(name)) values.set(moment, floats(start[name].shape, new Float32Array(start[name].data.length)));
      }
      const program = await engine.open(encodeModel(emit(graph, { target: "cpu" })));
      for (let step = 0; step < run.steps; step++) {
        const lr = run.lr[step]!;
        const feeds: Record<string, HostTensor> = {
          ...Object.fromEntries(values),
          decay: floats([], [1 - lr * weight_decay]),
          stepSize: floats([], [lr / (1 - betas[0] ** (step + 1))]),
          rootCorrection: floats([], [Math.sqrt(1 - betas[1] ** (step + 1))]),
        };
        for (const name of names) {
          const all = await tensor(`${run.name}.grads_${name}`);
          const size = start[name].data.length;
          feeds[gradientOf(name)] = floats(start[name].shape, all.data.slice(step * size, (step + 1) * size));
        }
        const outputs = await program.run(
          Object.fromEntries(program.inputNames.map((name) => [name, feeds[name]!])),
          Object.fromEntries(program.outputNames.map((name) => [name, "host" as const])),
        );
        for (const [name, value] of Object.entries(outputs)) if (name !== "norm") values.set(name.slice("next.".length), value as HostTensor);
        for (const name of names) {
          const all = await tensor(`${run.name}.${name}`);
          const size = start[name].data.length;
          const worst = worstExcess(values.get(name)!.data, all.data.subarray(step * size, (step + 1) * size), TRAINED_WEIGHT);
          expect(worst.excess, `step ${step} ${name}[${worst.index}]: ${worst.actual}, reference ${worst.expected}`).toBeLessThanOrEqual(1);
        }
      }
      await program.close();
    });
  }
});

describe.runIf(existsSync(at("activations.safetensors")))("optim/activations", () => {
  it("activation functions and their derivatives", async () => {
    const { entries } = await readSafetensorsHeader(at("activations.safetensors"));
    const tensor = await tensorsOf(at("activations.safetensors"));
    const x = await tensor("x");
    for (const name of entries.keys()) {
      if (name === "x" || name.endsWith(".grad")) continue;
      const f = activation(name);
      expect(f, name).toBeDefined();
      const input = T.input("x", "float32", x.shape);
      const y = f!(input);
      const found = await evaluate({ y, dy: gradient(T.sumAll(y), [input])[0]! }, { x: floats(x.shape, x.data) });
      for (const [key, output] of [
        [name, "y"],
        [`${name}.grad`, "dy"],
      ] as const) {
        const worst = worstExcess(found[output]!, (await tensor(key)).data, ACTIVATION);
        // At a kink the derivative is a convention: ours is 0 there, as torch's.
        expect(worst.excess, `${key} at ${x.data[worst.index]}: ${worst.actual}, reference ${worst.expected}`).toBeLessThanOrEqual(1);
      }
    }
  });
});

describe.runIf(existsSync(at("cross_entropy.json")))("optim/cross_entropy", () => {
  it("loss, log-sum-exp and gradient without label smoothing", async () => {
    const reference = readJson<{ "loss_ls0.0": number; logsumexp: number[]; labels: number[] }>(at("cross_entropy.json"));
    const tensor = await tensorsOf(at("cross_entropy.safetensors"));
    const logits = await tensor("logits");
    const [N, V] = logits.shape as [number, number];
    const kept = reference.labels.flatMap((label, row) => (label === -100 ? [] : [row]));
    const x = T.input("logits", "float32", [N, V]);
    const rows = T.gather(x, T.input("rows", "int32", [kept.length]));
    // The label's logit by a product with one-hot rows: the head of a model is the identity here.
    const identity = T.constant(
      floats(
        [V, V],
        Float32Array.from({ length: V * V }, (_, i) => (i % (V + 1) === 0 ? 1 : 0)),
      ),
    );
    const labelLogits = T.sum(T.mul(rows, T.gather(identity, T.input("ids", "int32", [kept.length]))), [-1]);
    const loss = T.scale(T.sumAll(crossEntropy(rows, labelLogits)), 1 / kept.length);
    const feeds = {
      logits: floats(logits.shape, logits.data),
      rows: integers([kept.length], kept),
      ids: integers(
        [kept.length],
        kept.map((row) => reference.labels[row]!),
      ),
    };
    const found = await evaluate({ loss, gradient: gradient(loss, [x])[0]!, lse: T.logSumExp(x) }, feeds);
    expect(worstExcess(found["loss"]!, [reference["loss_ls0.0"]], LOSS).excess).toBeLessThanOrEqual(1);
    expect(worstExcess(found["lse"]!, reference.logsumexp, LOSS).excess).toBeLessThanOrEqual(1);
    const expected = (await tensor("grad_ls0.0")).data;
    const largest = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    expect(worstExcess(found["gradient"]!, expected, { absolute: GRADIENT_OF_MAXIMUM * largest, relative: 0 }).excess).toBeLessThanOrEqual(1);
  });
});

describe.runIf(existsSync(at("clip.json")))("optim/clip", () => {
  for (const { case: number, max_norm, total_norm } of existsSync(at("clip.json"))
    ? readJson<{ case: number; max_norm: number; total_norm: number }[]>(at("clip.json"))
    : []) {
    it(`case ${number}: maximum norm ${max_norm}`, async () => {
      const tensor = await tensorsOf(at("clip.safetensors"));
      const names = ["0", "1", "2"];
      const shapes = new Map<string, number[]>();
      const feeds: Record<string, HostTensor> = { decay: floats([], [1]), stepSize: floats([], [0]), rootCorrection: floats([], [1]) };
      for (const name of names) {
        const { shape, data } = await tensor(`${number}.in.${name}`);
        shapes.set(name, shape);
        feeds[gradientOf(name)] = floats(shape, data);
        for (const zero of [name, ...momentsOf(name)]) feeds[zero] = floats(shape, new Float32Array(data.length));
      }
      // With β₁ = 0 the first moment is the clipped gradient itself.
      const graph = updateGraph(
        names.map((name) => ({ name, shape: shapes.get(name)!, decays: false })),
        { beta1: 0, beta2: 0.9, epsilon: 1e-8, weightDecay: 0 },
        max_norm,
      );
      const found = await evaluate(graph, feeds);
      expect(worstExcess(found["norm"]!, [total_norm], CLIPPING).excess).toBeLessThanOrEqual(1);
      for (const name of names) {
        const worst = worstExcess(found[`next.first.${name}`]!, (await tensor(`${number}.out.${name}`)).data, CLIPPING);
        expect(worst.excess).toBeLessThanOrEqual(1);
      }
    });
  }
});

/** Every tensor that a method trains, on every family: its gradient against central differences in float64. */
import { describe, expect, it } from "vitest";
import { casesOn, families, methodCases } from "../../test/adapter-cases.ts";
import { randomTokens, rowsOf } from "../../test/model-logits.ts";
import { tinyArchitecture } from "../../test/tiny/tiny-architectures.ts";
import { CENTRAL_DIFFERENCE, worstExcess } from "../../test/tolerance.ts";
import { Random } from "../base/random.ts";
import { floats, integers } from "../core/dtype.ts";
import { interpret, type Values } from "../core/interpret.ts";
import { type Tensor, topologicalOrder } from "../core/tensor.ts";
import { controlFeeds } from "../models/control-feeds.ts";
import { decoderFeeds, padToBlocks } from "../models/feeds.ts";
import { virtualTokensOf } from "./method.ts";
import { gradientOf, stepGraph } from "../train/step-graph.ts";

const QUERY_BLOCKS = 2;
/** How far a tensor is moved; the formula's own error is of its fourth power. */
const STEP = 3e-5;

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Random values in float64; weights of norms and biases stay near what a model has, which is not zero. */
function randomValues(name: string, shape: readonly number[], deviation: number): Values {
  const random = Random.named(9, name);
  const centre = /norm.*weight$|ln_.*weight$/.test(name) ? 1 : 0;
  return { shape, data: Float64Array.from({ length: size(shape) }, () => centre + deviation * random.normal()) };
}

describe.each(families.map((names) => ({ names, golden: names.golden })))("$golden", ({ golden, names }) => {
  it.each(casesOn(golden))("%s", (name) => {
    const base = tinyArchitecture(golden);
    const { architecture, inventory } = base;
    const method = methodCases[name]!.make(base, names);
    const graph = stepGraph(architecture, method, { queryBlocks: QUERY_BLOCKS });
    const random = Random.named(3, golden);
    const before = virtualTokensOf(method, architecture.vocabSize);
    const textOf = (length: number): number[] => randomTokens(random, length, architecture.vocabSize);
    const texts = [6, 4].map((length, i) => [{ tokens: [...before, ...textOf(length)], unlabelled: before.length + i, control: textOf(3 - i) }]);
    const batch = padToBlocks(rowsOf(texts), QUERY_BLOCKS);
    const feeds: Record<string, Values | ReturnType<typeof floats>> = {
      ...decoderFeeds(architecture, batch, method.firstPosition),
      ...controlFeeds(architecture, batch, batch.control),
      labelRows: integers([batch.labelRows.length], batch.labelRows),
      labelIds: integers([batch.labelIds.length], batch.labelIds),
      scale: floats([], [1]),
    };
    for (const [parameter, shape] of inventory.parameters) feeds[parameter] = randomValues(parameter, shape, 0.2);
    for (const [tensor, { shape, initial }] of method.tensors) {
      feeds[tensor] = initial.kind === "base" ? { ...(feeds[initial.parameter] as Values) } : randomValues(tensor, shape, 0.2);
    }
    // What counts as a constant in the backward pass must stay as it is when a tensor is moved.
    const constants = topologicalOrder([graph["lossSum"]!]).filter(({ op }) => op === "stopGradient");
    const outputs = Object.fromEntries([...constants.map((tensor, i) => [`constant ${i}`, tensor] as const), ...Object.entries(graph)]);
    const found: Record<string, Values> = interpret(outputs, feeds);
    const known = new Map<Tensor, Values>(constants.map((tensor, i) => [tensor, found[`constant ${i}`]!]));
    const trained = [...method.tensors].filter(([, { trained: learns }]) => learns);
    expect(trained.length).toBeGreaterThan(0);
    const [along, differences]: [number[], number[]] = [[], []];
    for (const [tensor, { shape }] of trained) {
      const direction = Random.named(4, tensor);
      const move = Float64Array.from({ length: size(shape) }, () => direction.normal());
      const { data } = feeds[tensor] as Values;
      const lossAt = (step: number): number => {
        const moved = { shape, data: data.map((value, i) => value + step * move[i]!) };
        return interpret({ loss: graph["lossSum"]! }, { ...feeds, [tensor]: moved }, known).loss.data[0]!;
      };
      const difference = (step: number): number => (lossAt(step) - lossAt(-step)) / (2 * step);
      differences.push((4 * difference(STEP) - difference(2 * STEP)) / 3); // Richardson
      const gradient = found[gradientOf(tensor)];
      expect(gradient, `no gradient of ${tensor}`).toBeDefined();
      along.push(gradient!.data.reduce((sum, g, i) => sum + g * move[i]!, 0));
    }
    const worst = worstExcess(along, differences, CENTRAL_DIFFERENCE);
    expect(worst.excess, `${trained[worst.index]?.[0]}: ${worst.actual}, by differences ${worst.expected}`).toBeLessThanOrEqual(1);
    expect(along.some((value) => Math.abs(value) > 1e-3)).toBe(true);
  });
});

/** `mini-giants plan --flops …`: how large a model on how much text, by every approach side by side. */
import { GiantError } from "../base/errors.ts";
import { formatCount, formatDuration, formatFigure, formatPower } from "../base/units.ts";
import type { Chart } from "../chart/chart.ts";
import type { Alternative } from "../plan/inference-aware.ts";
import type { RepeatedAllocation } from "../plan/repeated-data.ts";
import { lossOf, optimumForFlops, trainingFlops, PUBLISHED_LAWS, MUENNIGHOFF, type ScalingLaw } from "../plan/scaling-law.ts";
import {
  describeKnown,
  isoFlopCurve,
  NEARLY,
  planScaling,
  type Known,
  type RepeatedPlan,
  type ScalingPlan,
  type ScalingRow,
  type SmallerModels,
} from "../plan/scaling-plan.ts";
import type { CommandContext } from "./command.ts";
import { measureMachine } from "./measure-machine.ts";
import { findLaw } from "./plan-law.ts";
import type { PlanOptions } from "./plan-options.ts";
import { giveAnswer, refuseExisting, type PlanAnswer, type PlanSection } from "./plan-sections.ts";

/** What a machine does in training. */
interface Speed {
  readonly flopsPerSecond: number;
  /** Measured just now, in products alone. */
  readonly measured: boolean;
}

/** Plans and prints; the machine is measured where `--hours` come without a rate. */
export async function runScaling(options: PlanOptions, context: CommandContext): Promise<number> {
  await refuseExisting(options.output);
  const speed = await speedOf(options);
  const rate = speed?.flopsPerSecond;
  const law = await findLaw(options.law);
  const plan = planScaling({
    known: knownOf(options, rate),
    law,
    // The fit to C4 belongs to repeated data; beside the others it would compare losses of another corpus.
    laws: PUBLISHED_LAWS.filter((each) => each !== MUENNIGHOFF || options.uniqueTokens !== undefined),
    ...(options.inferenceTokens === undefined ? {} : { inferenceTokens: options.inferenceTokens }),
    ...(options.uniqueTokens === undefined ? {} : { uniqueTokens: options.uniqueTokens }),
  });
  await giveAnswer(answerOf(plan, speed), options, context);
  return 0;
}

/** The rate that is given; for hours without one, the mean of the three products of a step: forward, and both of backward. */
async function speedOf({ flopsPerSecond, flops, hours }: PlanOptions): Promise<Speed | undefined> {
  if (flopsPerSecond !== undefined) return { flopsPerSecond, measured: false };
  if (hours === undefined || flops !== undefined) return undefined;
  const rates = Object.values((await measureMachine("auto")).products).map((product) => product.flopsPerSecond);
  return { flopsPerSecond: rates.length / rates.reduce((sum, each) => sum + 1 / each, 0), measured: true };
}

function knownOf({ parameters, tokens, flops, hours, targetLoss }: PlanOptions, rate: number | undefined): Known {
  if (flops !== undefined && hours !== undefined) {
    throw new GiantError("usage", "--flops and --hours both say how much is computed", { hint: "Leave one of them out." });
  }
  const budget = flops ?? (hours === undefined ? undefined : hours * 3600 * rate!);
  return {
    ...(parameters === undefined ? {} : { parameters }),
    ...(tokens === undefined ? {} : { tokens }),
    ...(budget === undefined ? {} : { flops: budget }),
    ...(targetLoss === undefined ? {} : { loss: targetLoss }),
  };
}

function answerOf(plan: ScalingPlan, speed: Speed | undefined): PlanAnswer {
  const rate = speed?.flopsPerSecond;
  const two = plan.optimal.length > 0;
  const sections: PlanSection[] = [
    {
      title: two ? "What follows" : "Compute-optimal",
      rows: rowsTable(plan.rows, rate),
      ...(plan.known.flops !== undefined && plan.known.loss !== undefined
        ? { notes: ["The smallest model that reaches the loss with all of the FLOPs: the cheapest to use."] }
        : {}),
    },
  ];
  if (two) {
    const title = plan.known.loss === undefined ? "Compute-optimal for the same FLOPs" : "Compute-optimal for the same loss";
    sections.push({ title, rows: rowsTable(plan.optimal, rate) });
  }
  if (plan.smaller) sections.push(smallerSection(plan.smaller, plan.law));
  if (plan.repeated) sections.push(repeatedSection(plan.repeated, plan));
  sections.push({
    title: `Loss at ${formatPower(plan.chosen.flops!)} FLOPs`,
    chart: { chart: isoFlopChart(plan, plan.rows.length + plan.optimal.length > 1), file: "plan.svg", terminal: isoFlopChart(plan, false) },
    notes: [
      "FLOPs are 6 · parameters · tokens, with the embeddings counted as parameters. Losses are in nats per token of each paper's own text and tokenizer: " +
        "what they say of sizes carries over, the figures themselves do not. plan fit finds the law of your own runs.",
      ...(speed?.measured === true
        ? [
            `Times go by the ${formatPower(speed.flopsPerSecond)} FLOP/s that this machine reached just now in products alone; a step does more than products, and ` +
              "takes longer in small models above all. plan --model DIR --pretrain forecasts a step whole.",
          ]
        : []),
    ],
  });
  return {
    title: `Plan for ${describeKnown(plan.known)}`,
    sections,
    facts: { question: "scaling", ...plan, ...(rate === undefined ? {} : { flopsPerSecond: rate }) },
  };
}

function rowsTable(rows: readonly ScalingRow[], rate: number | undefined): string[][] {
  const seconds = rate === undefined ? [] : ["time"];
  return [
    ["approach", "parameters", "tokens", "tokens each", "FLOPs", "loss", ...seconds],
    ...rows.map(({ name, parameters, tokens, flops, loss }) =>
      parameters === null || tokens === null || flops === null
        ? [name, "–", "–", "–", "–", "out of reach", ...seconds.map(() => "–")]
        : [
            name,
            formatCount(parameters),
            formatCount(tokens),
            formatFigure(tokens / parameters),
            formatPower(flops),
            loss === null ? "–" : loss.toFixed(4),
            ...(rate === undefined ? [] : [formatDuration(flops / rate)]),
          ],
    ),
  ];
}

function smallerSection({ inferenceTokens, optimum, inferenceAware, half, quarter }: SmallerModels, law: ScalingLaw): PlanSection {
  const line = (name: string, found: Alternative | null): string[] =>
    found === null
      ? [name, "–", "out of reach", "–", "–", "–"]
      : [
          name,
          formatCount(found.parameters),
          formatCount(found.tokens),
          formatPower(found.trainingFlops),
          `${found.extraTraining < 0.00005 ? "" : "+"}${(found.extraTraining * 100).toFixed(1)} %`,
          formatPower(found.totalFlops),
        ];
  return {
    title: `The same loss from smaller models, by ${law.id}`,
    rows: [
      ["", "parameters", "tokens", "training FLOPs", "against optimum", `with ${formatCount(inferenceTokens)} tokens of use`],
      line("compute-optimal", optimum),
      line("inference-aware", inferenceAware),
      line("half the size", half),
      line("a quarter of the size", quarter),
    ],
    notes: [
      "Inference-aware: least 6 · parameters · training tokens + 2 · parameters · tokens of use at equal loss (Sardana et al. 2023, arXiv 2401.00448), " +
        "which is why LLaMA is small for its data; --inference-tokens sets the use.",
    ],
  };
}

function repeatedSection({ uniqueTokens, asPlanned, best, nearly, forLoss }: RepeatedPlan, plan: ScalingPlan): PlanSection {
  const line = (name: string, found: RepeatedAllocation | null): string[] => {
    if (found === null) return [name, "–", "–", "–", "–", "–", "out of reach"];
    const { parameters, tokens, epochs, effectiveTokens, loss } = found;
    const read = epochs < 1000 ? formatFigure(epochs) : formatCount(epochs);
    return [
      name,
      formatCount(parameters),
      formatCount(tokens),
      read,
      formatCount(effectiveTokens),
      formatPower(trainingFlops(parameters, tokens)),
      loss.toFixed(4),
    ];
  };
  const { law, chosen } = plan;
  const fresh = { ...chosen, epochs: 1, effectiveTokens: chosen.tokens, loss: lossOf(law, chosen) };
  return {
    title: `With ${formatCount(uniqueTokens)} different tokens, by ${law.id}`,
    rows: [
      ["", "parameters", "tokens", "epochs", "worth fresh tokens", "FLOPs", "loss"],
      line("fresh data only", fresh),
      line("the same, repeated", asPlanned),
      line("best for the same FLOPs", best),
      line(`cheapest within ${NEARLY * 100} % of that`, nearly),
      ...(forLoss === undefined ? [] : [line(`cheapest with a loss of ${plan.known.loss}`, forLoss)]),
    ],
    notes: [
      "A repetition is worth less with each epoch, and so are parameters beyond the data's own optimum (Muennighoff et al. 2023, arXiv 2305.16264; R* 15.39 and 5.31, fitted with the law of C4: --law muennighoff goes by it alone). Parameters beyond the optimum count for less even at one epoch. Overfitting is not in the law: after many epochs the loss on held-out text may rise again.",
    ],
  };
}

function isoFlopChart({ law, chosen, rows, optimal }: ScalingPlan, beside: boolean): Chart {
  const flops = chosen.flops!;
  const optimum = [...optimal, ...rows].find(({ id }) => id === law.id)!;
  const sizes = [chosen.parameters, optimum.parameters ?? chosen.parameters];
  const [from, to] = [Math.max(1, Math.min(...sizes) / 10), Math.max(...sizes) * 10];
  const curve = (each: ScalingLaw): [number, number][] => isoFlopCurve(each, flops, from, to).map(({ parameters, loss }) => [parameters, loss]);
  const others = beside ? PUBLISHED_LAWS.filter(({ id }) => id !== law.id && id !== "muennighoff") : [];
  const inks = ["second", "third", "fourth"] as const;
  return {
    label: `Loss over parameters at ${formatPower(flops)} FLOPs`,
    x: { label: "parameters", logarithmic: true, format: formatCount },
    y: { label: "loss, nats per token", format: (value) => value.toFixed(3) },
    layers: [
      ...others.map((each, i) => ({ kind: "line", name: each.id, ink: inks[i % inks.length]!, points: curve(each) }) as const),
      { kind: "line", name: law.id, ink: "first", points: curve(law), strong: true },
      {
        kind: "dots",
        name: "optimum",
        ink: "plain",
        points: [...others, law].map((each) => {
          const best = optimumForFlops(each, flops);
          return [best.parameters, lossOf(each, best)] as const;
        }),
      },
      {
        kind: "mark",
        label: `${optimal.length > 0 ? "this model" : "optimum"}: ${formatCount(chosen.parameters)}`,
        ink: "first",
        point: [chosen.parameters, lossOf(law, chosen)],
      },
    ],
  };
}

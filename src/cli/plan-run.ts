/** `mini-giants plan --model`: what a run or a model would need on this machine, before anything is downloaded or trained. */
import { GiantError } from "../base/errors.ts";
import { METHOD_NAMES } from "../train/methods/tuning-methods.ts";
import type { PlanRequest } from "../train/run-plan.ts";
import type { CommandContext } from "./command.ts";
import { measureMachine } from "./measure-machine.ts";
import type { PlanOutputOptions } from "./plan-options.ts";
import type { PlanRunOptions } from "./plan-run-options.ts";
import { accuracyText, inferenceText, planText } from "./plan-run-text.ts";

const [USUAL_LENGTH, USUAL_CONTEXT] = [512, 2048];
const STORAGE = { stored: undefined, f32: "F32", f16: "F16", bf16: "BF16" } as const;

/** Answers of a run that is planned: as many and as long as `tune` gives by default. */
const [SAMPLES, SAMPLE_TOKENS] = [3, 48];

/** Plans and prints; a plan that does not fit is no error: the exit code is 0. */
export async function runPlan(options: PlanRunOptions & PlanOutputOptions, { output }: CommandContext): Promise<number> {
  if (options.output !== undefined) throw new GiantError("usage", "--output does not belong to this question", { hint: "--json prints all there is." });
  const print = (report: unknown, text: () => string): number => {
    output.out(`${options.json ? JSON.stringify(report, null, 2) : text()}\n`);
    return 0;
  };
  if (options.accuracy) {
    const { forecastAccuracy } = await import("../train/run-accuracy.ts");
    const accuracy = await forecastAccuracy(options.runs);
    return print(accuracy, () => accuracyText(accuracy));
  }
  if (options.model === undefined) {
    throw new GiantError("usage", "--model is missing", { hint: "Name a model's folder, or a config.json; the weights are not needed." });
  }
  const [{ outlineModel }, { RunPlanner }, { machineMemory, processMemory }] = await Promise.all([
    import("../workbench/model-outline.ts"),
    import("../train/run-plan.ts"),
    import("../runtime/memory.ts"),
  ]);
  const outline = await outlineModel(options.model, STORAGE[options.precision]);
  const { architecture, parameterCount } = outline;
  const availableBytes = options.memoryLimit ?? machineMemory().availableBytes + processMemory().residentBytes;
  const machine = await measureMachine(options.device, options.threads);
  const planner = new RunPlanner(outline, machine, availableBytes);
  const about = { model: options.model, modelType: architecture.modelType, parameterCount, availableBytes, machine };
  if (options.inference) {
    const context = Math.min(options.context ?? USUAL_CONTEXT, architecture.maxPositionEmbeddings);
    const formats = planner.inference(context);
    return print({ ...about, context, formats }, () => inferenceText(about, context, formats));
  }
  const { method, ...request } = requestOf(options, architecture.maxPositionEmbeddings);
  const methods = options.pretrain ? (["full"] as const) : options.method === "all" ? METHOD_NAMES : [...new Set([method, "lora", "full"] as const)];
  const run = planner.run({ ...request, method });
  const data = options.data === undefined ? undefined : await planner.data({ ...request, method }, dataRequest(options, options.data));
  const rows = planner.methods({ ...request, method }, methods);
  const report = { ...about, ...request, run, ...(data && { data }), methods: rows };
  return print(report, () => planText(report, options.method === "all" && !options.pretrain));
}

function requestOf(options: PlanRunOptions, context: number): PlanRequest {
  const { rank, batchSize, gradientAccumulation, recompute, packWeights, pretrain } = options;
  return {
    method: pretrain ? "full" : options.method === "all" ? "lora" : options.method,
    rank,
    batchSize,
    gradientAccumulation,
    recompute,
    packWeights,
    maxLength: Math.min(options.maxLength ?? USUAL_LENGTH, context),
    labelled: pretrain ? 1 : options.labelled,
    loraDropout: 0,
    maxGradNorm: 1,
    validation: true,
    samples: SAMPLES,
    sampleTokens: SAMPLE_TOKENS,
  };
}

function dataRequest(
  { packing, epochs, labelled }: PlanRunOptions,
  file: string,
): { file: string; packing: boolean; trainOn: "answers" | "all"; epochs: number } {
  return { file, packing, epochs, trainOn: labelled === 1 ? "all" : "answers" };
}

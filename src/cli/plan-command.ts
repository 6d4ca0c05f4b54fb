/** `mini-giants plan`: what a run would need on this machine. */
import type { Command } from "./command.ts";
import { planRun } from "./plan-run.ts";
import { PLAN_RUN_OPTIONS, type PlanRunOptions } from "./plan-run-options.ts";

export const planCommand: Command<PlanRunOptions> = {
  verb: "plan",
  summary: "say what a run would need: memory, time, and what fits",
  usage: "--model DIR|config.json [options]",
  examples: [
    "mini-giants plan --model models/SmolLM2-135M --data examples.jsonl",
    "mini-giants plan --model config.json --method all --max-length 1024",
    "mini-giants plan --model models/SmolLM2-135M --inference --context 4096",
    "mini-giants plan --accuracy --runs runs",
  ],
  table: PLAN_RUN_OPTIONS,
  run: planRun,
};

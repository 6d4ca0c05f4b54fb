/** The control branch's configuration, to and from adapter_config.json. */
import { GiantError } from "../base/errors.ts";

export interface ControlConfig {
  /** N: how many of the first blocks have a trained copy. */
  readonly numBlocks: number;
  /** Longest control text, in tokens. */
  readonly controlLength: number;
  /** Part of the examples whose control was left out in training. */
  readonly controlDropout: number;
}

/** `peft_type` of a control branch: PEFT has no such method, and refuses it by this name. */
export const CONTROL_TYPE = "MINI_GIANTS_CONTROL";

type Json = Readonly<Record<string, unknown>>;

const KNOWN: ReadonlySet<string> = new Set([
  "peft_type",
  "format",
  "base_model_name_or_path",
  "task_type",
  "inference_mode",
  "num_blocks",
  "control_length",
  "control_dropout",
]);

/** The version of the layout that is written, and the only one that is read. */
const FORMAT = 1;

/** @throws GiantError("adapter") naming a field with a wrong value, or one that is not known. */
export function readControlConfig(json: Json, where: string): ControlConfig {
  const unknown = Object.keys(json).filter((field) => !KNOWN.has(field));
  if (unknown.length > 0) {
    throw new GiantError("adapter", `${where}: ${unknown.map((field) => `${field} = ${JSON.stringify(json[field])}`).join(", ")} is not supported`, {
      hint: "The adapter was written by a later version, or changed by something else.",
      facts: { unsupported: unknown },
    });
  }
  const number = (field: string, valid: (n: number) => boolean, needed: string): number => {
    const value = json[field];
    if (typeof value !== "number" || !valid(value))
      throw new GiantError("adapter", `${where}: ${field} is ${JSON.stringify(value) ?? "missing"}, needs ${needed}`);
    return value;
  };
  const positive = (n: number): boolean => Number.isInteger(n) && n > 0;
  number("format", (n) => n === FORMAT, `${FORMAT}`);
  return {
    numBlocks: number("num_blocks", positive, "a positive integer"),
    controlLength: number("control_length", positive, "a positive integer"),
    controlDropout: number("control_dropout", (n) => n >= 0 && n <= 1, "a number from 0 to 1"),
  };
}

export function writeControlConfig({ numBlocks, controlLength, controlDropout }: ControlConfig, base: string): Record<string, unknown> {
  return {
    peft_type: CONTROL_TYPE,
    format: FORMAT,
    base_model_name_or_path: base,
    task_type: "CAUSAL_LM",
    inference_mode: true,
    num_blocks: numBlocks,
    control_length: controlLength,
    control_dropout: controlDropout,
  };
}

/** Control texts: what a control branch reads beside a prompt, from the records to the rows of a batch. */
import { GiantError } from "../base/errors.ts";
import type { BatchControls } from "./batch.ts";
import { isFields, optionalText } from "./fields.ts";
import type { TrainingRecord } from "./record.ts";

/** Where a record's control text stands: in a field of its own, or in its system message. */
export type ControlSource = "field" | "system";

/** The field `control` that a record of any format may have; an empty one is none. */
export function controlField(value: unknown): { readonly control?: string } {
  if (!isFields(value)) return {};
  const control = optionalText(value, "control");
  return control.trim() === "" ? {} : { control };
}

/**
 * The record with its system message, where it has one, as its control text: the prompt is then without it.
 * @throws GiantError("data") for a record that names a control besides.
 */
export function controlFromSystem(record: TrainingRecord): TrainingRecord {
  if (record.control !== undefined) {
    throw new GiantError(
      "data",
      `${record.source}:${record.line}: the record has the field control, but --control-from system takes controls from system messages`,
      {
        hint: "Leave --control-from out, or the field.",
        facts: { source: record.source, line: record.line },
      },
    );
  }
  const [first, ...messages] = record.kind === "messages" ? record.messages : [];
  if (record.kind !== "messages" || first?.role !== "system") return record;
  const content = first.content ?? "";
  return { ...record, messages, ...(content.trim() === "" ? {} : { control: content }) };
}

/**
 * Lays control texts out beside rows of examples; undefined when none has any.
 * @param rows tokens of each row's controls, in the order of its segments.
 * @param bucket the places are a multiple of it, so that only few shapes occur.
 */
export function layOutControls(rows: readonly (readonly (ArrayLike<number> | undefined)[])[], bucket: number, padId: number): BatchControls | undefined {
  const longest = Math.max(0, ...rows.map((controls) => controls.reduce((sum, tokens) => sum + (tokens?.length ?? 0), 0)));
  if (longest === 0) return undefined;
  const length = Math.ceil(longest / bucket) * bucket;
  const laidOut = {
    length,
    tokens: new Int32Array(rows.length * length).fill(padId),
    positions: new Int32Array(rows.length * length),
    segments: new Int32Array(rows.length * length),
  };
  rows.forEach((controls, row) => {
    let at = row * length;
    controls.forEach((tokens, k) => {
      for (let t = 0; t < (tokens?.length ?? 0); t++, at++) {
        laidOut.tokens[at] = tokens![t]!;
        laidOut.positions[at] = t;
        laidOut.segments[at] = k + 1;
      }
    });
  });
  return laidOut;
}

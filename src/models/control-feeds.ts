/** Host values for the inputs of the stream in which a control text stands before the tokens. */
import { type HostTensor, floats, integers } from "../core/dtype.ts";
import { rotaryTables } from "../nn/rotary.ts";
import type { Architecture } from "./architecture.ts";
import type { TokenRows } from "./feeds.ts";

/** Control texts of `B` rows in `U` places, flattened row-major; segment 0 is padding, the others are those of the tokens. */
export interface ControlRows {
  readonly length: number; // U
  readonly tokens: Int32Array; // [B*U]
  readonly positions: Int32Array; // [B*U]
  readonly segments: Int32Array; // [B*U]
}

/** The new places of the stream. */
export interface ControlledPlaces extends Omit<ControlRows, "positions"> {
  readonly rows: number; // B
  /** Positions of the control's places and the tokens', [B*(U+T)]. */
  readonly positions: Int32Array;
  readonly strength: number;
}

/** Feeds for the inputs of a controlled stream, without its cache's own. */
export function controlledFeeds(
  architecture: Architecture,
  { rows: B, length: U, tokens, segments, positions, strength }: ControlledPlaces,
): Record<string, HostTensor> {
  const length = positions.length / B;
  const feeds: Record<string, HostTensor> = {
    "control.tokens": integers([B, U], tokens),
    "control.segments": integers([B, U], segments),
    "control.positions": integers([B, length], positions),
    "control.strength": floats([], [strength]),
  };
  for (const [key, spec] of Object.entries(architecture.rotary)) {
    const { cos, sin } = rotaryTables(spec, positions);
    feeds[`control.rotary.${key}.cos`] = floats([B, length, spec.width / 2], cos);
    feeds[`control.rotary.${key}.sin`] = floats([B, length, spec.width / 2], sin);
  }
  return feeds;
}

const NO_CONTROL: ControlRows = { length: 0, tokens: new Int32Array(0), positions: new Int32Array(0), segments: new Int32Array(0) };

/** The feeds of a graph without a cache: the tokens of each segment follow the places of its control. */
export function controlFeeds(architecture: Architecture, rows: TokenRows, control: ControlRows = NO_CONTROL, strength = 1): Record<string, HostTensor> {
  const { rows: B, length: T } = rows;
  const { length: U } = control;
  const positions = new Int32Array(B * (U + T));
  for (let b = 0; b < B; b++) {
    const controls = control.segments.subarray(b * U, (b + 1) * U);
    const lengths = new Map<number, number>();
    for (const segment of controls) if (segment !== 0) lengths.set(segment, (lengths.get(segment) ?? 0) + 1);
    const row = positions.subarray(b * (U + T), (b + 1) * (U + T));
    row.set(control.positions.subarray(b * U, (b + 1) * U));
    for (let t = 0; t < T; t++) row[U + t] = rows.positions[b * T + t]! + (lengths.get(rows.segments[b * T + t]!) ?? 0);
  }
  return controlledFeeds(architecture, { ...control, rows: B, positions, strength });
}

/** Ends streamed text at a stop string, wherever the borders between its pieces lie. */
import { GiantError } from "../base/errors.ts";

/**
 * Watches a stream of text for stop strings. What `push` returns is certainly before any stop string: a possible
 * beginning of one is held back until it is decided. The stop string itself is not returned.
 *
 * Of several matches the one that is complete first ends the text, and of those the one that begins first.
 */
export class StopWatch {
  readonly #stops: readonly string[];
  #held = "";
  #stopped: string | undefined;

  constructor(stops: readonly string[]) {
    if (stops.includes("")) {
      throw new GiantError("usage", "a stop string is empty, needed at least one character", {
        hint: "Leave it out to generate until the model ends its turn.",
      });
    }
    this.#stops = stops;
  }

  /** The stop string that ended the text, once one has. */
  get stopped(): string | undefined {
    return this.#stopped;
  }

  /** Takes a piece of text; returns what may be shown. After a stop nothing more is returned. */
  push(piece: string): string {
    if (this.#stopped !== undefined) return "";
    const text = this.#held + piece;
    let start = -1;
    let end = Infinity;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at < 0 || at + stop.length > end || (at + stop.length === end && at >= start)) continue;
      start = at;
      end = at + stop.length;
      this.#stopped = stop;
    }
    if (this.#stopped !== undefined) {
      this.#held = "";
      return text.slice(0, start);
    }
    let held = 0;
    for (const stop of this.#stops) held = Math.max(held, beginningAtEnd(text, stop));
    this.#held = text.slice(text.length - held);
    return text.slice(0, text.length - held);
  }

  /** Returns what was held back when the text ends without a stop string. */
  end(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }
}

/** The length of the longest proper beginning of `stop` that `text` ends with. */
function beginningAtEnd(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}

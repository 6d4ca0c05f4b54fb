/** Stop strings in text that comes in pieces of any size. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopWatch } from "./stop.ts";

/** Few letters, so that stop strings, their beginnings and their overlaps are frequent. */
const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 12 });
const stop = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 });

/** The text before the match that is complete first, found letter by letter. */
function cut(text: string, stops: readonly string[]): { text: string; stopped: string | undefined } {
  for (let end = 1; end <= text.length; end++) {
    const matches = stops.filter((each) => text.slice(0, end).endsWith(each)).toSorted((a, b) => b.length - a.length);
    if (matches[0] !== undefined) return { text: text.slice(0, end - matches[0].length), stopped: matches[0] };
  }
  return { text, stopped: undefined };
}

describe("StopWatch", () => {
  it("gives the text before the stop string, however the text is cut into pieces", () => {
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), fc.array(stop, { maxLength: 3 }), (pieces, stops) => {
        const watch = new StopWatch(stops);
        const shown = pieces.map((piece) => watch.push(piece)).join("") + watch.end();
        expect({ text: shown, stopped: watch.stopped }).toEqual(cut(pieces.join(""), stops));
      }),
      { numRuns: 2000 },
    );
  });

  it("holds back no more than what may become a stop string", () => {
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), fc.array(stop, { maxLength: 3 }), (pieces, stops) => {
        const watch = new StopWatch(stops);
        let shown = "";
        let all = "";
        for (const piece of pieces) {
          shown += watch.push(piece);
          all += piece;
          if (watch.stopped !== undefined) break;
          const held = all.slice(shown.length);
          expect(held === "" || stops.some((each) => each.startsWith(held))).toBe(true);
        }
      }),
    );
  });

  it("returns nothing after a stop and refuses an empty stop string", () => {
    const watch = new StopWatch(["\n\n"]);
    expect([watch.push("a\n"), watch.push("\nb"), watch.push("c"), watch.end()]).toEqual(["a", "", "", ""]);
    expect(watch.stopped).toBe("\n\n");
    expect(() => new StopWatch(["a", ""])).toThrow(/stop string is empty/);
  });
});

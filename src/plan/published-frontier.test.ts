import { describe, expect, test } from "vitest";
import { FLOAT64, PUBLISHED_OPTIMUM, worstExcess } from "../../test/tolerance.ts";
import { APPROACH_1, APPROACH_2, FRONTIERS, frontierForFlops, frontierForParameters, frontierForTokens } from "./published-frontier.ts";

/** Parameters, FLOPs and tokens of Hoffmann et al. 2022: table 3 for approach 1, table A3 for approach 2. */
const TABLES = [
  [
    APPROACH_1,
    [
      [400e6, 1.92e19, 8.0e9],
      [1e9, 1.21e20, 20.2e9],
      [10e9, 1.23e22, 205.1e9],
      [67e9, 5.76e23, 1.5e12],
      [175e9, 3.85e24, 3.7e12],
      [280e9, 9.9e24, 5.9e12],
      [520e9, 3.43e25, 11.0e12],
      [1e12, 1.27e26, 21.2e12],
      [10e12, 1.3e28, 216.2e12],
    ],
  ],
  [
    APPROACH_2,
    [
      [400e6, 1.84e19, 7.7e9],
      [1e9, 1.2e20, 20.0e9],
      [10e9, 1.32e22, 219.5e9],
      [67e9, 6.88e23, 1.7e12],
      [175e9, 4.54e24, 4.3e12],
      [280e9, 1.18e25, 7.1e12],
      [520e9, 4.19e25, 13.4e12],
      [1e12, 1.59e26, 26.5e12],
      [10e12, 1.75e28, 292.0e12],
    ],
  ],
] as const;

describe("approaches 1 and 2", () => {
  test.each(TABLES.flatMap(([frontier, lines]) => lines.map((line) => [frontier.id, line, frontier] as const)))(
    "%s: %j",
    (_id, [parameters, flops, tokens], frontier) => {
      const found = frontierForFlops(frontier, flops);
      expect(worstExcess([found.parameters, found.tokens], [parameters, tokens], PUBLISHED_OPTIMUM).excess).toBeLessThanOrEqual(1);
    },
  );

  test.each(FRONTIERS)("$id: size and data lead back to the same optimum", (frontier) => {
    const { parameters, tokens } = frontierForFlops(frontier, 1e20);
    for (const other of [frontierForParameters(frontier, parameters), frontierForTokens(frontier, tokens)]) {
      expect(worstExcess([other.parameters, other.tokens], [parameters, tokens], FLOAT64).excess).toBeLessThanOrEqual(1);
    }
  });
});

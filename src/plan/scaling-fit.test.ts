import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { Random } from "../base/random.ts";
import { FITTED_CONSTANT, worstExcess } from "../../test/tolerance.ts";
import { parseRuns } from "./runs-file.ts";
import { bootstrapFits, intervalOf } from "./scaling-bootstrap.ts";
import { checkLaw, checkRuns, fitLaw, HUBER_DELTA, refitLaw, withoutLowestRatios, type LawFit, type ScalingRun } from "./scaling-fit.ts";
import { BESIROGLU, CHINCHILLA_ROUNDED, lossOf, type LawConstants } from "./scaling-law.ts";

function finish(runs: readonly ScalingRun[]): LawFit {
  const work = fitLaw(runs);
  for (;;) {
    const next = work.next();
    if (next.done === true) return next.value;
  }
}

const listed = ({ E, A, B, alpha, beta }: LawConstants): number[] => [E, A, B, alpha, beta];

/** Runs of five sizes on five amounts of data whose losses follow a law. */
function runsOf(law: LawConstants, noise = 0): ScalingRun[] {
  const random = new Random(3);
  return [1e7, 5e7, 2e8, 1e9, 6e9].flatMap((parameters) =>
    [3, 10, 30, 100, 300].map((ratio) => {
      const run = { parameters, tokens: parameters * ratio };
      return { ...run, loss: lossOf(law, run) * Math.exp(noise * random.normal()) };
    }),
  );
}

describe("fits to losses that follow a law", () => {
  test.each([BESIROGLU, CHINCHILLA_ROUNDED])("find its constants: $id", (law) => {
    const fit = finish(runsOf(law));
    expect(worstExcess(listed(fit.constants), listed(law), FITTED_CONSTANT).excess).toBeLessThanOrEqual(1);
    expect(Math.max(...fit.residuals.map(Math.abs))).toBeLessThan(1e-6);
  });

  test("are hardly moved by runs that went wrong", () => {
    const runs = runsOf(BESIROGLU).map((run, i) => (i % 8 === 3 ? { ...run, loss: run.loss * 1.3 } : run));
    expect(finish(runs).constants.E).toBeCloseTo(BESIROGLU.E, 2);
  });

  test("with noise, the intervals hold the truth and narrow with it", () => {
    const width = (noise: number): { readonly holds: boolean; readonly wide: number } => {
      const runs = runsOf(BESIROGLU, noise);
      const fits = [...bootstrapFits(runs, refitLaw(runs, BESIROGLU).constants, 200, 1)];
      const { low, high } = intervalOf(fits, ({ alpha }) => alpha);
      return { holds: low <= BESIROGLU.alpha && BESIROGLU.alpha <= high, wide: high - low };
    };
    const [rough, fine] = [width(1e-2), width(1e-3)];
    expect([rough.holds, fine.holds]).toEqual([true, true]);
    expect(fine.wide).toBeLessThan(rough.wide / 3);
  });

  test("a seed repeats the resamples", () => {
    const runs = runsOf(BESIROGLU, 1e-2);
    const fits = (seed: number): LawConstants[] => [...bootstrapFits(runs, BESIROGLU, 3, seed)];
    expect(fits(5)).toEqual(fits(5));
    expect(fits(5)).not.toEqual(fits(6));
  });
});

describe("the 245 runs of Hoffmann et al.", () => {
  const all = parseRuns(readFileSync(new URL("../../test/data/chinchilla-runs.csv", import.meta.url), "utf8"), "chinchilla-runs.csv");
  const runs = withoutLowestRatios(all, 5);
  let fit: LawFit;
  beforeAll(() => {
    fit = finish(runs);
  });

  test("five are left out", () => {
    expect([all.length, runs.length]).toEqual([245, 240]);
    const ratio = ({ tokens, parameters }: ScalingRun): number => tokens / parameters;
    expect(Math.max(...all.filter((run) => !runs.includes(run)).map(ratio))).toBeLessThanOrEqual(Math.min(...runs.map(ratio)));
  });

  test("the fit is that of Besiroglu et al., within its own intervals", () => {
    const fits = [...bootstrapFits(runs, fit.constants, 200, 0)];
    for (const key of ["E", "A", "B", "alpha", "beta"] as const) {
      const { low, high } = intervalOf(fits, (constants) => constants[key]);
      expect(low, key).toBeLessThan(BESIROGLU[key]);
      expect(high, key).toBeGreaterThan(BESIROGLU[key]);
    }
    expect(fit.constants.E).toBeCloseTo(BESIROGLU.E, 3);
    expect(fit.constants.alpha).toBeCloseTo(BESIROGLU.alpha, 2);
    expect(fit.constants.beta).toBeCloseTo(BESIROGLU.beta, 2);
  });

  test("no other constants do better: not theirs, not Chinchilla's", () => {
    const sum = (law: LawConstants): number =>
      runs.reduce((total, run) => {
        const residual = Math.abs(Math.log(lossOf(law, run) / run.loss));
        return total + (residual <= HUBER_DELTA ? residual ** 2 / 2 : HUBER_DELTA * (residual - HUBER_DELTA / 2));
      }, 0);
    expect(sum(fit.constants)).toBeCloseTo(fit.objective, 12);
    expect(fit.objective).toBeLessThanOrEqual(sum(BESIROGLU));
    expect(sum(BESIROGLU)).toBeLessThan(sum(CHINCHILLA_ROUNDED));
    expect(refitLaw(runs, BESIROGLU).objective).toBeCloseTo(fit.objective, 10);
  });
});

describe("runs that follow no law", () => {
  const sizes = [1e5, 1e6, 1e7];
  const grid = (loss: (parameters: number, tokens: number) => number): ScalingRun[] =>
    sizes.flatMap((parameters) => sizes.map((tokens) => ({ parameters, tokens, loss: loss(parameters, tokens) })));
  test.each([
    ["all of one loss", grid(() => 3.5), "no loss that falls with parameters"],
    ["worse with size", grid((n, d) => 2 + n ** 0.1 + 10 / d ** 0.2), "no loss that falls with parameters"],
    ["untouched by data", grid((n) => 2 + 100 / n ** 0.3), "no loss that falls with tokens"],
  ])("%s", (_name, runs, message) => {
    expect(() => checkLaw(finish(runs).constants, "x.csv")).toThrow(`x.csv: the runs show ${message}`);
  });
});

describe("too little to fit", () => {
  const run = { parameters: 1e6, tokens: 1e7, loss: 3 };
  test.each([
    [[run], "x.csv: 1 run to fit, at least 6 are needed"],
    [Array.from({ length: 8 }, (_, i) => ({ ...run, tokens: 1e6 * (i + 1) })), "x.csv: the runs have 1 different parameter counts, at least 3 are needed"],
    [Array.from({ length: 8 }, (_, i) => ({ ...run, parameters: 1e6 * (i + 1) })), "x.csv: the runs have 1 different token counts, at least 3 are needed"],
  ])("%#", (runs, message) => {
    expect(() => checkRuns(runs, "x.csv")).toThrow(message);
  });
});

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, describe, expect, test } from "vitest";
import type { Output } from "./output.ts";
import { runCli } from "./run.ts";

const scratch = mkdtempSync(join(tmpdir(), "plan-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Finished {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function plan(argv: readonly string[], signal: AbortSignal = new AbortController().signal): Promise<Finished> {
  let [out, err] = ["", ""];
  const output: Output = { out: (text) => void (out += text), err: (text) => void (err += text), live: false, outIsTerminal: false, columns: 100 };
  const code = await runCli(["plan", ...argv], { output, input: Readable.from([]), signal }, () => "");
  return { code, out, err };
}

/** A table of 16 runs that follow a law. */
function runsFile(): string {
  const file = join(scratch, "runs.csv");
  const rows = [1e6, 1e7, 1e8, 1e9].flatMap((n) => [5, 20, 80, 320].map((ratio) => [n, n * ratio, 1.9 + 400 / n ** 0.35 + 1500 / (n * ratio) ** 0.36]));
  writeFileSync(file, `parameters,tokens,loss\n${rows.map((row) => row.join(",")).join("\n")}\n`);
  return file;
}

describe("plan of a budget", () => {
  test("5.76e23 FLOPs by every approach, each a named row", async () => {
    const { code, out, err } = await plan(["--flops", "5.76e23"]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const row = (name: string): string[] =>
      out
        .split("\n")
        .find((line) => line.startsWith(name))!
        .slice(name.length)
        .trim()
        .split(/ {2,}/);
    expect(row("Chinchilla approach 1 (training curves)").slice(0, 2)).toEqual(["67B", "1.43T"]);
    expect(row("Chinchilla approach 2 (IsoFLOP profiles)").slice(0, 2)).toEqual(["63B", "1.52T"]);
    expect(row("Chinchilla approach 3 (printed constants)").slice(0, 2)).toEqual(["32.2B", "2.98T"]);
    expect(row("Chinchilla approach 3 (before rounding)").slice(0, 2)).toEqual(["40.3B", "2.38T"]);
    expect(row("Besiroglu et al. 2024 (approach 3, corrected)").slice(0, 2)).toEqual(["72.2B", "1.33T"]);
    expect(row("inference-aware")[2]).toBe("5.95e23");
    expect(out).toContain("● optimum: 72.2B");
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(110);
  });

  test("hours without a rate count by what this machine does", async () => {
    const { code, out } = await plan(["--hours", "2", "--json"]);
    expect(code).toBe(0);
    const { known, flopsPerSecond } = JSON.parse(out) as { known: { flops: number }; flopsPerSecond: number };
    expect(flopsPerSecond).toBeGreaterThan(0);
    expect(known.flops / (7200 * flopsPerSecond)).toBeCloseTo(1, 12);
  });

  test("hours count by what the machine does, and times are shown", async () => {
    const { out } = await plan(["--hours", "10", "--flops-per-second", "500B"]);
    expect(out).toContain("Plan for 1.8e16 FLOPs");
    expect(out).toContain("10 h 00 min");
  });

  test("--json is everything as data", async () => {
    const { out } = await plan(["--parameters", "135M", "--tokens", "600B", "--unique-tokens", "10B", "--json"]);
    const facts = JSON.parse(out) as { chosen: { parameters: number; flops: number }; repeated: { asPlanned: { epochs: number } } };
    expect([facts.chosen.parameters, facts.chosen.flops, facts.repeated.asPlanned.epochs]).toEqual([135e6, 6 * 135e6 * 600e9, 60]);
  });

  test("--output is a new folder with a page that needs nothing from outside", async () => {
    const folder = join(scratch, "new", "budget");
    const { code, err } = await plan(["--flops", "1e18", "--output", folder]);
    expect({ code, err }).toEqual({ code: 0, err: `plan: ${join(folder, "plan.html")}\n` });
    expect(readdirSync(folder).toSorted()).toEqual(["plan.html", "plan.json", "plan.svg"]);
    expect(readFileSync(join(folder, "plan.html"), "utf8")).not.toMatch(/<script|src=|href=|https?:/);
    expect(await plan(["--flops", "1e18", "--output", folder])).toEqual({
      code: 1,
      out: "",
      err: `error: ${folder}: it exists already\nhint: Name a new folder by --output.\n`,
    });
  });
});

describe("plan fit", () => {
  test("finds the law of a table, and a plan goes by it", async () => {
    const folder = join(scratch, "fit");
    const { code, out } = await plan(["fit", runsFile(), "--resamples", "20", "--output", folder]);
    expect(code).toBe(0);
    expect(out).toMatch(/^E +1\.9000 +1\.9\d* … 1\.9\d*$/m);
    expect(readdirSync(folder).toSorted()).toEqual(["plan.html", "plan.json", "plan.svg", "residuals.svg"]);
    const next = await plan(["--flops", "1e18", "--law", join(folder, "plan.json")]);
    expect(next.out).toMatch(/^your own fit +/m);
  });

  test("stops when it is told to, and writes nothing", async () => {
    const controller = new AbortController();
    const folder = join(scratch, "stopped");
    setTimeout(() => controller.abort(), 100);
    expect(await plan(["fit", runsFile(), "--resamples", "100000000", "--output", folder], controller.signal)).toEqual({
      code: 130,
      out: "",
      err: "error: stopped; nothing was written\n",
    });
    expect(readdirSync(scratch)).not.toContain("stopped");
  });

  test("leaving out too many runs is said", async () => {
    const file = runsFile();
    expect((await plan(["fit", file, "--drop-lowest", "12"])).err).toContain(`${file} without 12: 4 runs to fit, at least 6 are needed`);
  });
});

describe("what cannot be answered", () => {
  mkdirSync(scratch, { recursive: true });
  writeFileSync(join(scratch, "no-fit.json"), '{"constants": {"E": 2}}');

  test("nothing asked lists the questions", async () => {
    const { code, err } = await plan([]);
    expect(code).toBe(2);
    expect(err).toMatch(/^error: nothing is asked; .*\nhint: The questions are\n( {2}[A-Z].*\? mini-giants plan .+\n){4}$/);
  });

  test.each([
    [["--parameters", "1e155", "--tokens", "1e155"], "no law says anything of so much"],
    [["--tokens", "1e300"], "no law says anything of so much"],
    [["--flops", "1e18", "--hours", "3"], "--flops and --hours both say how much is computed"],
    [["--flops", "many"], '--flops: "many" is not a positive amount such as 135M, 1.5B or 5.76e23'],
    [["--tokens", "0"], '--tokens: "0" is not a positive amount'],
    [["--target-loss", "1.5"], "--target-loss 1.5: no model reaches it"],
    [["--parameters", "1M", "--tokens", "1M", "--flops", "1M"], "3 of parameters, tokens, FLOPs and loss are given, one or two were needed"],
    [["--flops", "1e18", "--seed", "3"], "--seed does not belong to this question"],
    [["fit", "x.csv", "--flops", "1"], "--flops does not belong to this question"],
    [["--flops", "1e18", "--law", "nobody"], '"nobody" is none of the laws chinchilla'],
    [["fit"], "plan fit needs a file of runs"],
    [["fti"], 'unexpected argument "fti"'],
    [["fit", "a", "b"], 'unexpected argument "b"'],
  ])("%j", async (argv, message) => {
    const { code, out, err } = await plan(argv);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(/^error: [^\n]+\n(hint: [^\n]+\n)?$/);
    expect(err).toContain(message);
  });

  test("a law that is no fit is named with what it lacks", async () => {
    const file = join(scratch, "no-fit.json");
    expect((await plan(["--flops", "1e18", "--law", file])).err).toContain(`${file}: constants.A is not a positive number`);
  });
});

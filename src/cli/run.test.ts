import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, describe, expect, test } from "vitest";
import { METHOD_NAMES } from "../train/methods/tuning-methods.ts";
import { runCli } from "./run.ts";
import { VERBS } from "./verbs.ts";

const scratch = mkdtempSync(join(tmpdir(), "cli-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Finished {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function cli(...argv: string[]): Promise<Finished> {
  let out = "";
  let err = "";
  const output = { out: (text: string) => void (out += text), err: (text: string) => void (err += text), live: false, outIsTerminal: false, columns: 100 };
  const code = await runCli(argv, { output, input: Readable.from([]), signal: new AbortController().signal }, () => "1.2.3");
  return { code, out, err };
}

describe("command line", () => {
  test.each(Object.keys(VERBS))("%s --help is its option records laid out", async (verb) => {
    const { code, out, err } = await cli(verb, "--help");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    await expect(out).toMatchFileSnapshot(`../../test/text/help-${verb}.txt`);
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });

  test("without a verb, and with --help, it lists the verbs", async () => {
    const { code, out } = await cli();
    expect(code).toBe(0);
    await expect(out).toMatchFileSnapshot("../../test/text/help.txt");
    expect((await cli("--help")).out).toBe(out);
    expect((await cli("--version")).out).toBe("1.2.3\n");
  });

  test.each([
    [["tnue"], 'error: unknown verb "tnue"\nhint: Did you mean tune?\n'],
    [["tune", "--leraning-rate", "1"], "error: unknown option --leraning-rate\nhint: Did you mean --learning-rate?\n"],
    [
      ["tune", "--model", "m", "--data", "d", "--output", "o", "--method", "lorra"],
      `error: --method: "lorra" is none of ${METHOD_NAMES.join(", ")}\nhint: Did you mean lora?\n`,
    ],
    [["tune", "--rank", "--packing"], "error: --rank needs a value\nhint: --rank: rank of the low-rank terms.\n"],
    [["tune", "--rank", "many"], 'error: --rank: "many" is not a whole number of at least 1\n'],
    [["tune", "--rank", "8", "--r", "4"], "error: --r is given twice\n"],
    [["tune", "extra"], 'error: unexpected argument "extra"\nhint: Options begin with --; put texts with spaces in quotes.\n'],
    [["tune", "--data", "d", "--output", "o"], "error: --model is missing\nhint: --model: folder of the base model, in Hugging Face's layout.\n"],
    [["generate", "--prompt", "x"], "error: --model is missing\nhint: --model: folder of the model, in Hugging Face's layout.\n"],
    [["tune", "--resume"], "error: --resume: --output is missing\nhint: Name the folder of the run to go on with by --output.\n"],
    [["tune", "--no-packing=1"], 'error: --no-packing takes no value, found "1"\n'],
    [
      ["tune", "--early-stopping-patience", "2", "--eval-steps", "0", "--model", "m", "--data", "d", "--output", "o"],
      "error: --early-stopping-patience: needs evaluations on the way, found --eval-steps 0\nhint: Set --eval-steps.\n",
    ],
  ])("%j is a usage error", async (argv, err) => {
    expect(await cli(...argv)).toEqual({ code: 2, out: "", err });
  });

  test("what is not there is the user's error, and nothing is written", async () => {
    const output = join(scratch, "nothing");
    const tune = await cli("tune", "--model", join(scratch, "absent"), "--data", "x.jsonl", "--output", output);
    expect(tune.code).toBe(1);
    expect(tune.err).toMatch(/^error: .*absent.*\n/);
    expect((await cli("generate", "--model", join(scratch, "absent"), "--prompt", "x")).code).toBe(1);
    expect((await cli("merge", "--model", join(scratch, "absent"), "--adapter", "a", "--output", output)).code).toBe(1);
  });

  test.each([
    ["max_lenght: 3\n", 'unknown key "max_lenght"', "Did you mean max_length?"],
    ["rank: [1\n", ":2: Flow sequence in block collection must be sufficiently indented and end with a ]", "A recipe is YAML, one `key: value` per line."],
    ["- a\n- b\n", 'found ["a","b"] where a map from option names to values was needed', undefined],
    ["rank: 0\n", "rank: 0 is not a whole number of at least 1", undefined],
    ["rank: 4\nrank: 5\n", ":2: Map keys must be unique", "A recipe is YAML, one `key: value` per line."],
  ])("the broken recipe %j is a usage error", async (text, message, hint) => {
    const file = join(scratch, "recipe.yaml");
    writeFileSync(file, text);
    const { code, err } = await cli("tune", "--config", file);
    expect(code).toBe(2);
    expect(err.split("\n")[0]).toBe(`error: ${file}${message.startsWith(":") ? "" : ": "}${message}`);
    expect(err.split("\n")[1]).toBe(hint === undefined ? "" : `hint: ${hint}`);
  });

  test("a recipe that is absent is named", async () => {
    expect(await cli("tune", "--config", join(scratch, "none.yaml"))).toMatchObject({ code: 1, err: expect.stringContaining("none.yaml") as string });
  });

  test("--debug prints where an error came from", async () => {
    expect((await cli("tune", "--resume", "--debug")).err).toContain("at ");
  });
});

/** Every command of the README runs, in its order, with npm and npx standing in for an installed package. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { supportedModelTypes } from "../src/models/registry.ts";
import type { Report } from "../src/train/report.ts";
import { TUNE_OPTIONS } from "../src/train/tune-options.ts";
import { VERBS } from "../src/cli/verbs.ts";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));
const MAIN = join(PROJECT, "dist", "cli", "main.js");
const README = readFileSync(join(PROJECT, "README.md"), "utf8");
const MANIFEST = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8")) as { readonly scripts: Readonly<Record<string, string>> };

const clone = mkdtempSync(join(tmpdir(), "readme-"));

/** The commands in fenced blocks of shell, one a line. */
const commands: readonly string[] = [...README.matchAll(/^```sh\n([^]*?)^```$/gm)].flatMap(([, block]) => block!.trimEnd().split("\n"));

/** `npm install` and `npm test` are what runs this test; `npm start` and `npx mini-giants` are the program. */
const NPM = `#!/bin/sh
case "$1" in
  install | test) exit 0 ;;
  start) shift; [ "$1" = "--" ] && shift; exec "${process.execPath}" "${MAIN}" demo "$@" ;;
  *) echo "npm $*: not known to the test" >&2; exit 1 ;;
esac
`;
const NPX = `#!/bin/sh
[ "$1" = "mini-giants" ] || { echo "npx $*: not known to the test" >&2; exit 1; }
shift
exec "${process.execPath}" "${MAIN}" "$@"
`;

beforeAll(() => {
  mkdirSync(join(clone, "bin"));
  writeFileSync(join(clone, "bin", "npm"), NPM, { mode: 0o755 });
  writeFileSync(join(clone, "bin", "npx"), NPX, { mode: 0o755 });
  for (const folder of ["examples", "models", "datasets", "recipes"]) symlinkSync(join(PROJECT, folder), join(clone, folder));
});
afterAll(() => rmSync(clone, { recursive: true, force: true }));

describe("the README", () => {
  test("begins with the main job and the tests", () => {
    expect(commands.slice(0, 2)).toEqual(["npm install && npm start", "npm install && npm test"]);
    expect(MANIFEST.scripts["start"]).toBe("node dist/cli/main.js demo");
  });

  test.each(commands)(
    "%s",
    (command) => {
      const env = { ...process.env, PATH: [join(clone, "bin"), process.env["PATH"]].join(delimiter) };
      const { status, stderr, stdout } = spawnSync("sh", ["-c", command], { cwd: clone, env, encoding: "utf8", timeout: 580_000 });
      expect(stderr).not.toMatch(/^(?:error|warning)/m);
      expect(status, stderr).toBe(0);
      if (!command.startsWith("npm install")) expect(stdout).not.toBe("");
    },
    600_000,
  );

  test("what it promises lies where it says", () => {
    const run = join(clone, "runs", "demo-1");
    for (const name of [
      "adapter/adapter_config.json",
      "adapter/adapter_model.safetensors",
      "report.html",
      "report.json",
      "recipe.yaml",
      "events.jsonl",
      "checkpoints",
      "trainer_state.json",
      "tensorboard",
    ]) {
      expect(existsSync(join(run, name)), name).toBe(true);
    }
    for (const name of ["merged/model.safetensors", "stories/model/model.safetensors"]) expect(existsSync(join(clone, "runs", name)), name).toBe(true);
  });

  test("the main job shows its change in the figures and in the answers", () => {
    const report = JSON.parse(readFileSync(join(clone, "runs", "demo-1", "report.json"), "utf8")) as Report;
    const { before, after } = report.validation;
    expect(after!.loss).toBeLessThan(before!.loss - 1);
    expect(report.samples).toHaveLength(3);
    for (const sample of report.samples) expect(sample.after).not.toBe(sample.before);
  });

  test("names every model type, verb and file that there is", () => {
    const listed = /^\| model types \| (.*?) \(/m
      .exec(README)![1]!
      .split(", ")
      .map((name) => name.replaceAll("`", ""));
    expect(listed.toSorted()).toEqual(supportedModelTypes);
    expect(README).toContain("eight schedules");
    expect(TUNE_OPTIONS.schedule).toHaveProperty("choices.length", 8);
    for (const [, verb] of README.matchAll(/npx mini-giants ([a-z]+)/g)) expect(Object.keys(VERBS)).toContain(verb);
  });
});

test.each([
  "README.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "docs/numerics.md",
  "docs/glossary.md",
  "docs/cli.md",
  "models/pebble/README.md",
  "datasets/fairytale-qa/README.md",
  "datasets/stories/README.md",
])("%s links and names files that exist", (name) => {
  const text = readFileSync(join(PROJECT, name), "utf8");
  for (const [, link] of text.matchAll(/\]\(([^)#:]+)\)/g)) expect(existsSync(join(PROJECT, dirname(name), link!)), link).toBe(true);
  // Source files are named from the project, or from src.
  for (const [, path] of text.matchAll(/`((?:[\w-]+\/)+[\w-]+(?:\.[a-z]+)*\.ts)`/g)) {
    expect(
      [path!, join("src", path!)].some((each) => existsSync(join(PROJECT, each))),
      path,
    ).toBe(true);
  }
});

/** What would be published: everything that is needed, and nothing else. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));
const MANIFEST = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8")) as {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly exports: { readonly ".": Readonly<Record<string, string>> };
  readonly bin: Readonly<Record<string, string>>;
  readonly imports: Readonly<Record<string, string>>;
};

test("the archive holds the program, its types, its papers, recipes, model and examples to tune on, and no tests or sources", () => {
  // From a copy without scripts: some versions of npm build before they pack whatever they are told, under the feet of other tests.
  const copy = mkdtempSync(join(tmpdir(), "package-"));
  const left = new Set([".git", "node_modules", "golden", "runs", ".cache"]);
  cpSync(PROJECT, copy, { recursive: true, filter: (path) => !left.has(basename(path)) });
  writeFileSync(join(copy, "package.json"), JSON.stringify({ ...MANIFEST, scripts: {} }));
  const json = execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: copy, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  rmSync(copy, { recursive: true });
  const packed = JSON.parse(json) as
    | { readonly files: readonly { readonly path: string }[] }[]
    | Readonly<Record<string, { readonly files: readonly { readonly path: string }[] }>>;
  const [archive] = Object.values(packed);
  const paths = archive!.files.map(({ path }) => path);
  const named = [...Object.values(MANIFEST.exports["."]), ...Object.values(MANIFEST.bin), ...Object.values(MANIFEST.imports)].map((path) =>
    path.replace(/^\.\//, ""),
  );
  for (const path of [
    ...named,
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "ARCHITECTURE.md",
    "docs/cli.md",
    "package.json",
    "recipes/pebble.yaml",
    "models/pebble/model.safetensors",
    "datasets/fairytale-qa/train.jsonl",
  ])
    expect(paths).toContain(path);
  expect(
    paths.filter(
      (path) =>
        !/^dist\/[\w/-]+\.(?:js|d\.ts)$|^docs\/[\w-]+\.md$|^[A-Z]+(?:\.md)?$|^package\.json$|^recipes\/[\w-]+\.(?:yaml|js)$|^(?:models|datasets)\/[\w-]+\/[\w.-]+\.(?:md|txt|jsonl?|safetensors)$/.test(
          path,
        ),
    ),
  ).toEqual([]);
  expect(paths.filter((path) => path.includes(".test."))).toEqual([]);
});

test("the files that the manifest names are built", () => {
  for (const path of [...Object.values(MANIFEST.exports["."]), ...Object.values(MANIFEST.bin), ...Object.values(MANIFEST.imports)])
    expect(existsSync(join(PROJECT, path)), path).toBe(true);
  expect(readFileSync(join(PROJECT, MANIFEST.bin["mini-giants"]!), "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
  // npx links to the file as it is in a clone.
  expect(statSync(join(PROJECT, MANIFEST.bin["mini-giants"]!)).mode & 0o111).not.toBe(0);
});

test("versions are exact, and the lock file names no registry", () => {
  for (const [name, version] of Object.entries({ ...MANIFEST.dependencies, ...MANIFEST.devDependencies })) expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
  const lock = readFileSync(join(PROJECT, "package-lock.json"), "utf8");
  expect(lock).not.toContain('"resolved"');
});

test("importing the package starts no thread", () => {
  const script = `const m = await import("mini-giants"); console.log(typeof m.tune, process.getActiveResourcesInfo().includes("MessagePort"));`;
  expect(execFileSync(process.execPath, ["--input-type=module", "--eval", script], { cwd: PROJECT, encoding: "utf8" })).toBe("function false\n");
});

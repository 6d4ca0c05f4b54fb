/** The rules of the house as tests over the source text: who may know whom, and what must be absent where. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { codeOf, importsOf, piecesOf } from "./source-scan.ts";

/** Which rooms each room may import from. Every room stands here, and none below those that it uses. */
const MAY_USE: Readonly<Record<string, readonly string[]>> = {
  base: [],
  chart: ["base"],
  core: ["base"],
  nn: ["base", "core"],
  onnx: ["base", "core"],
  tokenize: ["base"],
  models: ["base", "core", "nn"],
  peft: ["base", "core", "nn"],
  data: ["base", "tokenize"],
  plan: ["base", "core", "nn", "onnx", "models", "peft"],
  quantize: ["base"],
  io: ["base", "data"],
  runtime: ["base", "core", "onnx", "plan", "io"],
  workbench: ["base", "core", "nn", "onnx", "tokenize", "models", "peft", "quantize", "io", "runtime"],
  generate: ["base", "core", "nn", "onnx", "tokenize", "models", "peft", "data", "io", "runtime", "workbench"],
  train: ["base", "chart", "core", "nn", "onnx", "tokenize", "models", "peft", "data", "plan", "io", "runtime", "workbench", "generate"],
  demo: ["io", "train"],
  cli: ["base", "chart", "plan", "io", "runtime", "workbench", "generate", "train", "demo"],
};

/** Which rooms may import a package. */
const PACKAGE_USERS: Readonly<Record<string, readonly string[]>> = {
  "onnxruntime-node": ["runtime"],
  "@huggingface/tokenizers": ["tokenize"],
  "@huggingface/jinja": ["tokenize"],
  protobufjs: ["onnx", "train"],
  yaml: ["train"],
  "cli-progress": ["cli"],
  "@observablehq/plot": ["chart"],
  linkedom: ["chart"],
  "simple-ascii-chart": ["chart"],
  "csv-parse": ["plan"],
};

/** Rooms that run anywhere, a browser included, and cannot fail for outside reasons. */
const PURE = new Set(["base", "core", "nn", "onnx", "tokenize", "models", "peft", "data", "chart", "plan", "quantize"]);

const OUTSIDE = /(?<!\.)\b(?:fetch|process)\b(?!\s*:)|\bDate\.now\b|\bMath\.random\b/;

const CONNECTING = /(?<!\.)\b(?:fetch|WebSocket|EventSource)\s*\(/;
const CONNECTING_MODULES = /^node:(?:net|http|https|http2|tls|dgram|dns)(?:\/|$)/;

const LONGEST = 400; // lines

interface SourceFile {
  /** Path from `src`. */
  readonly path: string;
  /** Its folder in `src`; "" for the public surface. */
  readonly room: string;
  readonly isTest: boolean;
  readonly source: string;
  /** Paths from `src` of our own files, and names of modules. */
  readonly files: readonly string[];
  readonly modules: readonly string[];
}

const SRC = fileURLToPath(new URL("../src", import.meta.url));

const files: readonly SourceFile[] = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .toSorted()
  .map((path) => {
    const source = readFileSync(join(SRC, path), "utf8");
    const imported = importsOf(source);
    return {
      path,
      room: path.includes("/") ? path.slice(0, path.indexOf("/")) : "",
      isTest: path.endsWith(".test.ts"),
      source,
      files: imported.filter((name) => name.startsWith(".")).map((name) => normalize(join(dirname(path), name))),
      modules: imported.filter((name) => !name.startsWith(".")),
    };
  });

const product = files.filter(({ isTest }) => !isTest);
const roomOf = (path: string): string => (path.includes("/") ? path.slice(0, path.indexOf("/")) : "");

describe("layers", () => {
  test("every room has its place", () => {
    expect(Object.keys(MAY_USE).toSorted()).toEqual([...new Set(files.map(({ room }) => room))].filter((room) => room !== "").toSorted());
    const rooms = Object.keys(MAY_USE);
    for (const [room, used] of Object.entries(MAY_USE))
      for (const each of used) expect(rooms.indexOf(each), `${room} uses ${each}`).toBeLessThan(rooms.indexOf(room));
  });

  test("a room imports only from rooms below it", () => {
    const wrong = product
      .filter(({ room }) => room !== "")
      .flatMap(({ path, room, files: imported }) =>
        imported.filter((file) => roomOf(file) !== room && !MAY_USE[room]!.includes(roomOf(file))).map((file) => `${path} → ${file}`),
      );
    expect(wrong).toEqual([]);
  });

  test("what is imported exists", () => {
    const known = new Set(files.map(({ path }) => path));
    expect(product.flatMap(({ path, files: imported }) => imported.filter((file) => !known.has(file)).map((file) => `${path} → ${file}`))).toEqual([]);
  });

  test("the public surface is imported by nobody", () => {
    expect(product.filter(({ files: imported }) => imported.includes("index.ts")).map(({ path }) => path)).toEqual([]);
  });

  test("each package has its rooms", () => {
    const wrong = product.flatMap(({ path, room, modules }) =>
      modules
        .filter((name) => !name.startsWith("node:"))
        .filter(
          (name) =>
            !PACKAGE_USERS[
              name
                .split("/")
                .slice(0, name.startsWith("@") ? 2 : 1)
                .join("/")
            ]?.includes(room),
        )
        .map((name) => `${path} → ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  test("only runtime imports ONNX Runtime, tests included", () => {
    expect(files.filter(({ room, modules }) => room !== "runtime" && modules.some((name) => name.startsWith("onnxruntime"))).map(({ path }) => path)).toEqual(
      [],
    );
  });

  test("only io reads and writes files", () => {
    expect(product.filter(({ room, modules }) => room !== "io" && modules.some((name) => /^(?:node:)?fs(?:\/|$)/.test(name))).map(({ path }) => path)).toEqual(
      [],
    );
  });

  test("only io may open connections", () => {
    const connects = ({ source, modules }: SourceFile): boolean => CONNECTING.test(codeOf(source)) || modules.some((name) => CONNECTING_MODULES.test(name));
    expect(product.filter((file) => file.room !== "io" && connects(file)).map(({ path }) => path)).toEqual([]);
  });

  test("the interpreter is for tests alone", () => {
    expect(product.filter(({ files: imported }) => imported.includes("core/interpret.ts")).map(({ path }) => path)).toEqual([]);
  });

  test("product code imports no test", () => {
    expect(
      product.filter(({ files: imported }) => imported.some((file) => file.startsWith("..") || file.endsWith(".test.ts"))).map(({ path }) => path),
    ).toEqual([]);
  });

  test("no import cycles", () => {
    const importsByPath = new Map(product.map(({ path, files: imported }) => [path, imported]));
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      const at = trail.indexOf(path);
      if (at >= 0) cycles.push([...trail.slice(at), path].join(" → "));
      else if (!done.has(path)) {
        for (const next of importsByPath.get(path) ?? []) visit(next, [...trail, path]);
        done.add(path);
      }
    };
    for (const path of importsByPath.keys()) visit(path, []);
    expect(cycles).toEqual([]);
  });

  test(`no file is longer than ${LONGEST} lines`, () => {
    expect(files.filter(({ source }) => source.trimEnd().split("\n").length > LONGEST).map(({ path }) => path)).toEqual([]);
  });
});

describe("pure rooms", () => {
  const pure = product.filter(({ room }) => PURE.has(room));

  test("import nothing of Node's", () => {
    expect(pure.filter(({ modules }) => modules.some((name) => name.startsWith("node:"))).map(({ path }) => path)).toEqual([]);
  });

  test("name neither the network, the clock, chance nor the process", () => {
    const named = pure.flatMap(({ path, source }) =>
      codeOf(source)
        .split("\n")
        .filter((line) => OUTSIDE.test(line))
        .map((line) => `${path}: ${line.trim()}`),
    );
    expect(named).toEqual([]);
  });
});

describe("reading source", () => {
  test("code, texts and comments are told apart", () => {
    const source = 'a("b // c"); // d\n/* e */ const f = `g ${h({ i: "j" })} k`; l(/m"n/g); o = p / q / r;';
    expect(codeOf(source).replaceAll(/\s+/g, " ").trim()).toBe("a( ); const f = h({ i: }) ; l( ); o = p / q / r;");
    expect(piecesOf(source).flatMap(({ kind, content }) => (kind === "text" ? [content] : []))).toEqual(["b // c", "g ", "j", " k", '/m"n/g']);
  });

  test("imports of every kind are found", () => {
    const source = `import a, { b } from "./one.ts";\nimport type { C } from "./two.ts";\nimport "./three.ts";\nexport * from './four.ts';\nawait import("./five.ts");\nArray.from("no");`;
    expect(importsOf(source)).toEqual(["./one.ts", "./two.ts", "./three.ts", "./four.ts", "./five.ts"]);
  });

  test("what must be absent would be seen", () => {
    for (const line of ["Date.now()", "const r = Math.random;", "await fetch(url)", "process.env"]) expect(OUTSIDE.test(codeOf(line))).toBe(true);
    for (const line of ["// Date.now()", '"process"', "engine.fetch", "preprocess(x)", "{ fetch: 1 }"]) expect(OUTSIDE.test(codeOf(line))).toBe(false);
  });
});

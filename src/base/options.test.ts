import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GiantError } from "./errors.ts";
import { editDistance, nearestName } from "./nearest.ts";
import { formatOptionHelp } from "./option-help.ts";
import { flagOf, keyOf, readOption, readRecipe, recipeDifferences, recipeOf, resolveOptions, type OptionTable } from "./options.ts";

interface Sample {
  readonly model: string;
  readonly learningRate: number;
  readonly batchSize: number;
  readonly packing: boolean;
  readonly schedule: "constant" | "cosine";
  readonly targetModules: readonly string[];
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly layers?: readonly number[];
  readonly memoryLimit?: number;
  readonly tokens?: number;
  readonly resume: boolean;
}

const table: OptionTable<Sample> = {
  model: { type: "path", group: "Input", help: "folder of the base model", required: true },
  learningRate: { type: "number", group: "Optimiser", help: "peak learning rate", default: 2e-4, minimum: 0, above: true },
  batchSize: { type: "integer", group: "Optimiser", help: "rows per micro-batch", default: 4, minimum: 1, aliases: ["b"] },
  packing: { type: "boolean", group: "Input", help: "several examples in a row", default: false },
  schedule: { type: "enum", group: "Optimiser", help: "course of the learning rate", choices: ["constant", "cosine"], default: "cosine" },
  targetModules: { type: "list", commas: "unlessPattern", group: "LoRA", help: "layers that are adapted", default: ["all-linear"] },
  rankPattern: { type: "map", group: "LoRA", help: "rank of layers that match", default: {} },
  layers: { type: "integers", group: "LoRA", help: "numbers of the blocks that are adapted" },
  memoryLimit: { type: "bytes", group: "Machine", help: "memory that may be used" },
  tokens: { type: "count", group: "Input", help: "tokens to read" },
  resume: { type: "boolean", group: "Machine", help: "go on with the run", default: false, inRecipe: false },
};

function problem(action: () => unknown): GiantError {
  try {
    action();
  } catch (error) {
    if (error instanceof GiantError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("option records", () => {
  test("names are translated to flags and recipe keys", () => {
    expect(flagOf("gradientAccumulation")).toBe("--gradient-accumulation");
    expect(keyOf("gradientAccumulation")).toBe("gradient_accumulation");
  });

  test("values are read from texts and from recipes alike", () => {
    const read = (name: keyof Sample, raw: unknown): unknown => readOption(table[name], raw, "here");
    expect(read("learningRate", "1e-3")).toBe(1e-3);
    expect(read("batchSize", 8)).toBe(8);
    expect(read("packing", "true")).toBe(true);
    expect(read("targetModules", "q_proj, v_proj")).toEqual(["q_proj", "v_proj"]);
    expect(read("targetModules", String.raw`.*\.(q|v)_proj{1,2}`)).toEqual([String.raw`.*\.(q|v)_proj{1,2}`]);
    expect(read("rankPattern", "q_proj=8,layers.0=4")).toEqual({ q_proj: 8, "layers.0": 4 });
    expect(read("rankPattern", { q_proj: 8 })).toEqual({ q_proj: 8 });
    expect(read("layers", "0,2")).toEqual([0, 2]);
    expect(read("memoryLimit", "2GiB")).toBe(2 ** 31);
    expect([read("tokens", "1.5B"), read("tokens", "5.76e23"), read("tokens", 12)]).toEqual([1.5e9, 5.76e23, 12]);
    for (const raw of ["-1", "0", "some", -1, true]) expect(problem(() => read("tokens", raw)).message).toContain("is not a positive amount such as 135M");
  });

  test.each([
    ["learningRate", "0", 'here: "0" is not a number above 0'],
    ["learningRate", "fast", 'here: "fast" is not a number above 0'],
    ["batchSize", 1.5, "here: 1.5 is not a whole number of at least 1"],
    ["batchSize", "", 'here: "" is not a whole number of at least 1'],
    ["packing", "maybe", 'here: "maybe" is not true or false'],
    ["schedule", "cosin", 'here: "cosin" is none of constant, cosine'],
    ["rankPattern", "q_proj", 'here: "q_proj" is not a map from names to numbers such as q_proj=8,v_proj=4'],
    ["layers", "0,x", 'here: "0,x" is not a list of whole numbers'],
    ["targetModules", "a,,b", 'here: "a,,b" is not a list of names'],
    ["memoryLimit", "much", 'here: "much" is not an amount of memory such as 4GB'],
  ] as const)("%s refuses %j", (name, raw, message) => {
    const error = problem(() => readOption(table[name], raw, "here"));
    expect(error.code).toBe("usage");
    expect(error.message).toBe(message);
  });

  test("an unknown recipe key names the nearest known one", () => {
    const error = problem(() => readRecipe(table, { learningrate: 1 }, "run.yaml"));
    expect(error.message).toBe('run.yaml: unknown key "learningrate"');
    expect(error.hint).toBe("Did you mean learning_rate?");
    expect(problem(() => readRecipe(table, { resume: true }, "run.yaml")).message).toBe('run.yaml: unknown key "resume"');
    expect(problem(() => readRecipe(table, ["x"], "run.yaml")).message).toContain("where a map");
    expect(problem(() => readRecipe(table, { b: 1, batch_size: 2 }, "run.yaml")).message).toContain("same option twice");
  });

  test("layers are laid over the defaults, and what is required is asked for", () => {
    const options = resolveOptions(table, { model: "m", batchSize: 2 }, { batchSize: 3 });
    expect(options).toEqual({
      model: "m",
      learningRate: 2e-4,
      batchSize: 3,
      packing: false,
      schedule: "cosine",
      targetModules: ["all-linear"],
      rankPattern: {},
      resume: false,
    });
    expect(problem(() => resolveOptions(table, {})).message).toBe("--model is missing");
  });

  test("a resolved recipe reads back to the same options", () => {
    fc.assert(
      fc.property(
        fc.record({
          model: fc.string({ minLength: 1 }),
          learningRate: fc.double({ min: 1e-9, max: 1, noNaN: true }),
          batchSize: fc.integer({ min: 1, max: 4096 }),
          packing: fc.boolean(),
          schedule: fc.constantFrom("constant" as const, "cosine" as const),
          targetModules: fc.array(fc.string({ minLength: 1 })),
          layers: fc.array(fc.nat()),
        }),
        (given) => {
          const options = resolveOptions(table, given);
          const recipe = JSON.parse(JSON.stringify(recipeOf(table, options))) as unknown;
          expect(resolveOptions(table, readRecipe(table, recipe, "r.yaml"))).toEqual(options);
        },
      ),
    );
  });

  test("differences between recipes are named", () => {
    expect(recipeDifferences({ seed: 1, packing: true }, { seed: 2, packing: true, epochs: 3 })).toEqual(["seed: 2, was 1", "epochs: 3, was not set"]);
  });

  test("the help text lists every option under its group", () => {
    expect(formatOptionHelp(table)).toMatchInlineSnapshot(`
      "Input:
        --model PATH                    folder of the base model (required)
        --packing                       several examples in a row
        --tokens N                      tokens to read

      Optimiser:
        --learning-rate X               peak learning rate (default: 0.0002)
        -b, --batch-size N              rows per micro-batch (default: 4)
        --schedule NAME                 course of the learning rate: constant, cosine (default: cosine)

      LoRA:
        --target-modules A,B,…          layers that are adapted (default: all-linear)
        --rank-pattern A=N,…            rank of layers that match
        --layers A,B,…                  numbers of the blocks that are adapted

      Machine:
        --memory-limit SIZE             memory that may be used
        --resume                        go on with the run"
    `);
  });

  test("the nearest name ignores the choice of dashes and gives up on strangers", () => {
    expect(editDistance("kitten", "sitting")).toBe(3);
    expect(nearestName("max_lenght", ["max-length", "max-steps"])).toBe("max-length");
    expect(nearestName("zebra", ["max-length", "seed"])).toBeUndefined();
  });
});

/** Option records: one record per option is its flag, its recipe key, its help line, its type, default and limits. */
import { GiantError } from "./errors.ts";
import { nearestName } from "./nearest.ts";
import { parseBytes, parseCount } from "./units.ts";

interface OptionFacts {
  /** One sentence fragment for the help text. */
  readonly help: string;
  /** Heading the option stands under in the help text. */
  readonly group: string;
  /** What the value is called in the help text; default by type. */
  readonly placeholder?: string;
  /** Unit of the value, shown in the help text. */
  readonly unit?: string;
  /** Further names, spelt like the property: each is a flag and a recipe key too. */
  readonly aliases?: readonly string[];
  readonly required?: boolean;
  /** False for options that steer one invocation and say nothing about the result (`--resume`): no recipe key. */
  readonly inRecipe?: boolean;
  /** What stands in the help text for a default that is computed. */
  readonly defaultText?: string;
}

interface NumberLimits {
  readonly minimum?: number;
  readonly maximum?: number;
  /** True when `minimum` itself is not allowed. */
  readonly above?: boolean;
}

type Kind =
  | { readonly type: "boolean" }
  | ({ readonly type: "integer" | "number" } & NumberLimits)
  | { readonly type: "bytes" }
  /** A positive amount that may be written short: `135M`, `1.5B`, `5.76e23`. */
  | { readonly type: "count" }
  | { readonly type: "string" | "path"; /** An empty text means something. */ readonly mayBeEmpty?: boolean }
  | { readonly type: "enum"; readonly choices: readonly string[] }
  /**
   * A text is cut at its commas; not where it has the characters of regular expressions and `commas` is "unlessPattern",
   * and never where `commas` is "kept".
   */
  | { readonly type: "list"; readonly commas?: "unlessPattern" | "kept" }
  | { readonly type: "integers" }
  | { readonly type: "map" };

/** The kinds whose values are of TypeScript type `V`. */
type KindOf<V> = [V] extends [boolean]
  ? Extract<Kind, { type: "boolean" }>
  : [V] extends [number]
    ? Extract<Kind, { type: "integer" | "number" | "bytes" | "count" }>
    : [V] extends [string]
      ? Extract<Kind, { type: "string" | "path" | "enum" }>
      : [V] extends [readonly string[]]
        ? Extract<Kind, { type: "list" }>
        : [V] extends [readonly number[]]
          ? Extract<Kind, { type: "integers" }>
          : Extract<Kind, { type: "map" }>;

export type OptionRecord = OptionFacts & Kind & { readonly default?: unknown };

/** One record for each property of an options interface `T`: the compiler names the ones that are missing. */
export type OptionTable<T> = {
  readonly [K in keyof T]-?: OptionFacts & KindOf<NonNullable<T[K]>> & { readonly default?: T[K] };
};

/** The flag of an option: `learningRate` → `--learning-rate`. */
export function flagOf(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** The recipe key of an option: `learningRate` → `learning_rate`. */
export function keyOf(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The records of a table as (name, record) pairs, in the order in which they are written. */
export function recordsOf<T>(table: OptionTable<T>): [name: keyof T & string, record: OptionRecord][] {
  return Object.entries(table) as [keyof T & string, OptionRecord][];
}

/**
 * Reads the value of one option from a flag's text or a recipe's value.
 * @param where how the user wrote the option, for messages: `--learning-rate` or `run.yaml: learning_rate`.
 */
export function readOption(record: OptionRecord, raw: unknown, where: string): unknown {
  const fail = (needed: string): never => {
    throw new GiantError("usage", `${where}: ${shown(raw)} is not ${needed}`, { facts: { option: where, found: raw, needed } });
  };
  switch (record.type) {
    case "boolean":
      if (raw === true || raw === "true") return true;
      if (raw === false || raw === "false") return false;
      return fail("true or false");
    case "integer":
    case "number": {
      const value = typeof raw === "number" ? raw : typeof raw === "string" && raw.trim() !== "" ? Number(raw) : NaN;
      const { minimum = -Infinity, maximum = Infinity, above = false } = record;
      const right = Number.isFinite(value) && (record.type === "number" || Number.isSafeInteger(value));
      if (!right || value > maximum || value < minimum || (above && value === minimum)) return fail(describeNumber(record));
      return value;
    }
    case "bytes": {
      if (typeof raw === "number" && Number.isSafeInteger(raw) && raw >= 0) return raw;
      if (typeof raw !== "string") return fail("an amount of memory such as 4GB");
      try {
        return parseBytes(raw);
      } catch {
        return fail("an amount of memory such as 4GB");
      }
    }
    case "count": {
      const needed = "a positive amount such as 135M, 1.5B or 5.76e23";
      let count: unknown = raw;
      if (typeof raw === "string") {
        try {
          count = parseCount(raw);
        } catch {
          return fail(needed);
        }
      }
      return typeof count === "number" && Number.isFinite(count) && count > 0 ? count : fail(needed);
    }
    case "string":
    case "path":
      if (typeof raw === "number") return String(raw);
      return typeof raw === "string" && (raw !== "" || record.mayBeEmpty === true) ? raw : fail(record.type === "path" ? "a path" : "a text");
    case "enum": {
      if (typeof raw === "string" && record.choices.includes(raw)) return raw;
      const meant = typeof raw === "string" ? nearestName(raw, record.choices) : undefined;
      throw new GiantError("usage", `${where}: ${shown(raw)} is none of ${record.choices.join(", ")}`, {
        ...(meant === undefined ? {} : { hint: `Did you mean ${meant}?` }),
        facts: { option: where, found: raw, needed: record.choices },
      });
    }
    case "list": {
      const items = typeof raw === "string" ? splitList(raw, record.commas) : raw;
      if (!Array.isArray(items) || !items.every((item) => typeof item === "string" && item !== "")) return fail("a list of names");
      return items;
    }
    case "integers": {
      const items = typeof raw === "string" ? raw.split(",").map((item) => (item.trim() === "" ? NaN : Number(item))) : raw;
      if (!Array.isArray(items) || !items.every((item) => Number.isSafeInteger(item) && item >= 0)) return fail("a list of whole numbers");
      return items;
    }
    case "map": {
      const entries = typeof raw === "string" ? splitMap(raw) : isPlainObject(raw) ? Object.entries(raw) : undefined;
      if (!entries?.every(([key, value]) => key !== "" && typeof value === "number" && Number.isFinite(value))) {
        return fail("a map from names to numbers such as q_proj=8,v_proj=4");
      }
      return Object.fromEntries(entries);
    }
  }
}

/**
 * Reads a parsed recipe: every key must be known and every value of its option's type.
 * @param source the recipe's file name, for messages.
 */
export function readRecipe<T>(table: OptionTable<T>, recipe: unknown, source: string): Partial<T> {
  if (recipe === null || recipe === undefined) return {};
  if (!isPlainObject(recipe)) {
    throw new GiantError("usage", `${source}: found ${shown(recipe)} where a map from option names to values was needed`);
  }
  const byKey = new Map<string, [string, OptionRecord]>();
  for (const [name, record] of recordsOf(table)) {
    if (record.inRecipe === false) continue;
    for (const spelling of [name, ...(record.aliases ?? [])]) byKey.set(keyOf(spelling), [name, record]);
  }
  const values: Record<string, unknown> = {};
  for (const [key, raw] of Object.entries(recipe)) {
    const found = byKey.get(key.replaceAll("-", "_"));
    if (!found) {
      const meant = nearestName(key, byKey.keys());
      throw new GiantError("usage", `${source}: unknown key ${JSON.stringify(key)}`, {
        hint: meant === undefined ? `The keys are ${[...byKey.keys()].join(", ")}.` : `Did you mean ${meant}?`,
        facts: { source, key },
      });
    }
    const [name, record] = found;
    if (name in values) throw new GiantError("usage", `${source}: ${key} and ${keyOf(name)} name the same option twice`);
    if (raw !== null) values[name] = readOption(record, raw, `${source}: ${key}`);
  }
  return values as Partial<T>;
}

/** Lays values over the defaults, later layers over earlier ones; a required option that nobody gave is a usage error. */
export function resolveOptions<T>(table: OptionTable<T>, ...layers: readonly Partial<T>[]): T {
  const values: Record<string, unknown> = {};
  for (const [name, record] of recordsOf(table)) {
    let value: unknown = record.default;
    for (const layer of layers) if (layer[name] !== undefined) value = layer[name];
    if (value === undefined && record.required === true) {
      throw new GiantError("usage", `${flagOf(name)} is missing`, { hint: `${flagOf(name)}: ${record.help}.` });
    }
    if (value !== undefined) values[name] = value;
  }
  return values as T;
}

/** The recipe of resolved options: a plain object by recipe key, ready to be written as YAML. */
export function recipeOf<T>(table: OptionTable<T>, options: Partial<T>): Record<string, unknown> {
  const recipe: Record<string, unknown> = {};
  for (const [name, record] of recordsOf(table)) {
    const value = options[name];
    if (record.inRecipe !== false && value !== undefined) recipe[keyOf(name)] = value;
  }
  return recipe;
}

/** What differs between two recipes of one table, one line per key: `learning_rate: 0.0002, was 0.0001`. */
export function recipeDifferences(before: Readonly<Record<string, unknown>>, now: Readonly<Record<string, unknown>>): string[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  const text = (value: unknown): string => (value === undefined ? "not set" : JSON.stringify(value));
  return keys.filter((key) => text(before[key]) !== text(now[key])).map((key) => `${key}: ${text(now[key])}, was ${text(before[key])}`);
}

function describeNumber(record: OptionRecord & NumberLimits): string {
  const { minimum, maximum, above = false } = record;
  const limits: string[] = [];
  if (minimum !== undefined) limits.push(above ? `above ${minimum}` : `at least ${minimum}`);
  if (maximum !== undefined) limits.push(`at most ${maximum}`);
  return [record.type === "integer" ? "a whole number" : "a number", limits.join(" and ")].filter(Boolean).join(" of ").replace("of above", "above");
}

function shown(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function splitList(text: string, commas: "unlessPattern" | "kept" | undefined): string[] {
  if (commas === "kept" || (commas === "unlessPattern" && /[\\^$*+?()[\]{}|]/.test(text))) return [text];
  return text.split(",").map((item) => item.trim());
}

function splitMap(text: string): [string, number][] {
  return text.split(",").map((item) => {
    const at = item.lastIndexOf("=");
    const number = item.slice(at + 1).trim();
    return [at < 0 ? "" : item.slice(0, at).trim(), number === "" ? NaN : Number(number)];
  });
}

/** Reads a command line into the options of a table. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { GiantError } from "../base/errors.ts";
import { nearestName } from "../base/nearest.ts";
import { flagOf, readOption, recordsOf, type OptionRecord, type OptionTable } from "../base/options.ts";

/** What a command line holds. */
export interface Flags<T> {
  /** The options that it names, and nothing for those it does not. */
  readonly given: Partial<T>;
  /** What stands between them. */
  readonly words: readonly string[];
}

/**
 * Lists may be given several times; `--no-x` turns a boolean off.
 * @param mostWords how many words may stand between the options.
 * @throws GiantError("usage") that names the nearest known flag.
 */
export function parseFlags<T>(table: OptionTable<T>, argv: readonly string[], mostWords = 0): Flags<T> {
  const known = new Map<string, [name: string, record: OptionRecord]>();
  const config: NonNullable<ParseArgsConfig["options"]> = {};
  for (const [name, record] of recordsOf(table)) {
    for (const spelling of [name, ...(record.aliases ?? [])]) {
      const flag = flagOf(spelling).slice(2);
      known.set(flag, [name, record]);
      config[flag] = { type: record.type === "boolean" ? "boolean" : "string", ...(flag.length === 1 ? { short: flag } : {}) };
    }
  }
  const { tokens } = parseArgs({ args: [...argv], options: config, strict: false, allowPositionals: true, tokens: true });
  const values: Record<string, unknown> = {};
  const words: string[] = [];
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") {
      if (words.push(token.value) <= mostWords) continue;
      throw new GiantError("usage", `unexpected argument ${JSON.stringify(token.value)}`, { hint: "Options begin with --; put texts with spaces in quotes." });
    }
    const negated = token.name.startsWith("no-") ? known.get(token.name.slice(3)) : undefined;
    const found = known.get(token.name) ?? (negated?.[1].type === "boolean" ? negated : undefined);
    if (!found) throw unknownFlag(token.rawName, known.keys());
    const [name, record] = found;
    const raw = valueOf(token, record, found === negated);
    const value = readOption(record, raw, token.rawName);
    const before = values[name];
    if (before !== undefined && record.type !== "list") throw new GiantError("usage", `${token.rawName} is given twice`);
    values[name] = Array.isArray(before) ? [...(before as string[]), ...(value as string[])] : value;
  }
  return { given: values as Partial<T>, words };
}

function valueOf(
  token: { readonly rawName: string; readonly value?: string | undefined; readonly inlineValue?: boolean | undefined },
  record: OptionRecord,
  negated: boolean,
): unknown {
  if (record.type === "boolean") {
    if (token.value === undefined) return !negated;
    if (!negated) return token.value;
    throw new GiantError("usage", `${token.rawName} takes no value, found ${JSON.stringify(token.value)}`);
  }
  if (token.value === undefined || (token.inlineValue !== true && token.value.startsWith("--"))) {
    throw new GiantError("usage", `${token.rawName} needs a value`, { hint: `${token.rawName}: ${record.help}.` });
  }
  return token.value;
}

function unknownFlag(rawName: string, known: Iterable<string>): GiantError {
  const meant = nearestName(rawName.replace(/^-+/, ""), known);
  return new GiantError("usage", `unknown option ${rawName}`, {
    hint: meant === undefined ? "--help lists the options." : `Did you mean ${meant.length === 1 ? "-" : "--"}${meant}?`,
    facts: { option: rawName },
  });
}

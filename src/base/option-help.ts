/** The help text of option tables. */
import { flagOf, recordsOf, type OptionRecord, type OptionTable } from "./options.ts";

const WIDTH = 100; // columns
const INDENT = 2;
const COLUMN = 34; // where the explanations begin

/** Lays the options of a table out by group, wrapped at 100 columns. */
export function formatOptionHelp<T>(table: OptionTable<T>): string {
  const groups = new Map<string, string[]>();
  for (const [name, record] of recordsOf(table)) {
    const lines = groups.get(record.group) ?? [];
    groups.set(record.group, lines);
    lines.push(...twoColumns(flagText(name, record), explanation(record)));
  }
  return [...groups].map(([group, lines]) => `${group}:\n${lines.join("\n")}`).join("\n\n");
}

/** A left text and a wrapped right text; the right one begins on its own line when the left one is too long. */
export function twoColumns(left: string, right: string): string[] {
  const wrapped = wrap(right, WIDTH - COLUMN);
  const head = " ".repeat(INDENT) + left;
  const lines = head.length + 1 < COLUMN ? [head.padEnd(COLUMN) + (wrapped.shift() ?? "")] : [head];
  return [...lines, ...wrapped.map((line) => " ".repeat(COLUMN) + line)];
}

function flagText(name: string, record: OptionRecord): string {
  const aliases = (record.aliases ?? []).map((alias) => (alias.length === 1 ? `-${alias}` : flagOf(alias)));
  // What is on by default can only be turned off.
  if (record.type === "boolean") return [...aliases, flagOf(name), ...(record.default === true ? [`--no-${flagOf(name).slice(2)}`] : [])].join(", ");
  return `${[...aliases, flagOf(name)].join(", ")} ${record.placeholder ?? placeholderOf(record)}`;
}

function placeholderOf(record: OptionRecord): string {
  switch (record.type) {
    case "integer":
    case "count":
      return "N";
    case "number":
      return "X";
    case "bytes":
      return "SIZE";
    case "path":
      return "PATH";
    case "enum":
      return "NAME";
    case "list":
    case "integers":
      return "A,B,…";
    case "map":
      return "A=N,…";
    default:
      return "TEXT";
  }
}

function explanation(record: OptionRecord): string {
  const parts = [record.help + (record.unit === undefined ? "" : `, in ${record.unit}`)];
  if (record.type === "enum") parts.push(`: ${record.choices.join(", ")}`);
  if (record.required === true) parts.push(" (required)");
  else if (record.defaultText !== undefined) parts.push(` (default: ${record.defaultText})`);
  else if (defaultText(record.default) !== "") parts.push(` (default: ${defaultText(record.default)})`);
  return parts.join("");
}

function defaultText(value: unknown): string {
  if (value === undefined || value === false) return "";
  if (value === true) return "on";
  if (Array.isArray(value)) return value.join(",");
  if (typeof value === "object" && value !== null)
    return Object.entries(value)
      .map(([key, number]) => `${key}=${String(number)}`)
      .join(",");
  return typeof value === "string" ? value : JSON.stringify(value);
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

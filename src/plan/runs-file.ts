/** Reads the runs that a law is fitted to from a table in CSV. */
import { CsvError, parse } from "csv-parse/sync";
import { GiantError } from "../base/errors.ts";
import { nearestName } from "../base/nearest.ts";
import { parseCount } from "../base/units.ts";
import type { ScalingRun } from "./scaling-fit.ts";
import { shareOfFlops } from "./scaling-law.ts";

/** The columns that a table may name. */
type ColumnRole = "parameters" | "tokens" | "flops" | "loss";

/** Names of columns, in lower case and without punctuation; the digitised runs of Hoffmann et al. have "Model Size" and "Training FLOP". */
const KNOWN_NAMES: Readonly<Record<ColumnRole, readonly string[]>> = {
  parameters: ["parameters", "params", "modelsize", "nparams", "n"],
  tokens: ["tokens", "trainingtokens", "d"],
  flops: ["flops", "trainingflop", "trainingflops", "flop", "compute", "c"],
  loss: ["loss", "finalloss", "validationloss", "l"],
};

/** Names that the user gave in place of the known ones. */
export type ColumnNames = Readonly<Partial<Record<ColumnRole, string>>>;

interface Row {
  readonly record: readonly string[];
  readonly line: number;
}

/**
 * The runs of a table. Where it has no tokens but FLOPs, D = C / 6N.
 * @param source the file's name, for messages.
 * @throws GiantError("format") with line and column for what is broken, "data" where there is nothing.
 */
export function parseRuns(text: string, source: string, names: ColumnNames = {}): ScalingRun[] {
  const [header, ...rows] = readRows(text, source);
  if (!header) throw new GiantError("data", `${source}: it is empty`, { hint: "A table needs a line of column names and a line for each run." });
  const columns = findColumns(header.record, source, names);
  const tokensOrFlops = columns.tokens ?? columns.flops;
  if (columns.parameters === undefined || columns.loss === undefined || tokensOrFlops === undefined) {
    const missing = columns.parameters === undefined ? "parameters" : columns.loss === undefined ? "loss" : "tokens or flops";
    throw new GiantError("data", `${source}:${header.line}: no column of ${missing} among ${header.record.map((name) => JSON.stringify(name)).join(", ")}`, {
      hint: "Name the columns parameters, tokens (or flops) and loss, or say which they are by --parameters-column and its like.",
    });
  }
  if (rows.length === 0) throw new GiantError("data", `${source}: it has column names and no run`);
  const { parameters, loss } = columns;
  return rows.map(({ record, line }) => {
    const cell = (at: number, read: (text: string) => number): number =>
      positive(record[at] ?? "", read, `${source}:${line}: column ${JSON.stringify(header.record[at])}`);
    const size = cell(parameters, readCount);
    const second = cell(tokensOrFlops, readCount);
    return { parameters: size, tokens: columns.tokens === undefined ? shareOfFlops(second, size) : second, loss: cell(loss, Number) };
  });
}

function readRows(text: string, source: string): Row[] {
  const firstLine = text.slice(0, text.search(/[\r\n]|$/));
  const delimiter = [",", ";", "\t"].reduce((most, each) => (firstLine.split(each).length > firstLine.split(most).length ? each : most));
  try {
    const rows = parse(text, { bom: true, delimiter, info: true, skip_empty_lines: true, trim: true, relax_column_count: true }) as unknown as {
      readonly record: string[];
      readonly info: { readonly lines: number };
    }[];
    const width = rows[0]?.record.length;
    return rows.map(({ record, info }) => {
      if (record.length === width) return { record, line: info.lines };
      throw new GiantError("format", `${source}:${info.lines}: ${record.length} cells, ${width} were needed as in the line of column names`);
    });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const line = (error as unknown as { readonly lines?: number }).lines;
    throw new GiantError("format", `${source}${line === undefined ? "" : `:${line}`}: ${error.message.replaceAll(/\s+/g, " ")}`, { cause: error });
  }
}

function findColumns(header: readonly string[], source: string, names: ColumnNames): Partial<Record<ColumnRole, number>> {
  const plain = header.map((name) => name.toLowerCase().replaceAll(/[^a-z]/g, ""));
  const found: Partial<Record<ColumnRole, number>> = {};
  for (const role of Object.keys(KNOWN_NAMES) as ColumnRole[]) {
    const named = names[role];
    const at = named === undefined ? KNOWN_NAMES[role].map((name) => plain.indexOf(name)).find((index) => index >= 0) : header.indexOf(named);
    if (named !== undefined && at === -1) {
      const meant = nearestName(named, header);
      throw new GiantError("usage", `--${role}-column: ${source} has no column ${JSON.stringify(named)}`, {
        hint: meant === undefined ? `Its columns are ${header.join(", ")}.` : `Did you mean ${JSON.stringify(meant)}?`,
      });
    }
    if (at !== undefined) found[role] = at;
  }
  return found;
}

function readCount(text: string): number {
  return /[a-z]$/i.test(text) ? parseCount(text) : Number(text);
}

function positive(text: string, read: (text: string) => number, where: string): number {
  const fail = (found: string): never => {
    throw new GiantError("format", `${where}: ${found} where a positive number was needed`);
  };
  if (text === "") return fail("nothing");
  let value: number;
  try {
    value = read(text);
  } catch {
    return fail(JSON.stringify(text));
  }
  return Number.isFinite(value) && value > 0 ? value : fail(JSON.stringify(text));
}

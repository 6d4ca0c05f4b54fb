/** Recipes: the options of a run as YAML text. */
import { parseDocument, stringify } from "yaml";
import { GiantError } from "../base/errors.ts";
import { flagOf, keyOf, recipeOf, recordsOf, type OptionTable } from "../base/options.ts";

/** Parses a recipe file's text into a plain object; broken YAML is a usage error that names the line. */
export function parseRecipe(text: string, source: string): unknown {
  const document = parseDocument(text, { prettyErrors: true, uniqueKeys: true });
  const [error] = document.errors;
  if (error) {
    const line = error.linePos?.[0].line;
    const message = error.message.split(/ at line |:?\n/)[0]!;
    throw new GiantError("usage", `${source}${line === undefined ? "" : `:${line}`}: ${message}`, {
      hint: "A recipe is YAML, one `key: value` per line.",
      facts: { source, line },
    });
  }
  return document.toJS({ maxAliasCount: 0 }) as unknown;
}

/** The YAML text of resolved options of a verb, in groups. */
export function formatRecipe<T>(table: OptionTable<T>, options: Partial<T>, verb: string): string {
  const recipe = recipeOf(table, options);
  const parts: string[] = [];
  let group = "";
  for (const [name, record] of recordsOf(table)) {
    const key = keyOf(name);
    if (!(key in recipe)) continue;
    if (record.group !== group) {
      group = record.group;
      parts.push(`${parts.length > 0 ? "\n" : ""}# ${group}\n`);
    }
    parts.push(stringify({ [key]: recipe[key] }, { lineWidth: 0 }));
  }
  return `# Run again with: mini-giants ${verb} ${flagOf("config")} THIS_FILE ${flagOf("output")} NEW_FOLDER\n${parts.join("")}`;
}

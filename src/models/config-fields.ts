/** Reads fields of a config.json with their types checked, so that a wrong value is named and not computed with. */
import { GiantError } from "../base/errors.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export class ConfigFields {
  readonly json: JsonObject;
  readonly where: string;

  /** `where` names the file in messages. */
  constructor(json: JsonObject, where: string) {
    this.json = json;
    this.where = where;
  }

  /** An error about one field. */
  error(field: string, needed: string): GiantError {
    return new GiantError("model", `${this.where}: ${field} is ${JSON.stringify(this.json[field]) ?? "missing"}, needs ${needed}`, {
      facts: { field, found: this.json[field], needed },
    });
  }

  #absent(field: string): boolean {
    return this.json[field] === undefined || this.json[field] === null;
  }

  positiveInteger(field: string, fallback?: number): number {
    if (this.#absent(field) && fallback !== undefined) return fallback;
    const value = this.json[field];
    if (typeof value !== "number" || !Number.isInteger(value) || value <= 0) throw this.error(field, "a positive integer");
    return value;
  }

  optionalPositiveInteger(field: string): number | undefined {
    return this.#absent(field) ? undefined : this.positiveInteger(field);
  }

  positive(field: string, fallback?: number): number {
    if (this.#absent(field) && fallback !== undefined) return fallback;
    const value = this.json[field];
    if (typeof value !== "number" || !(value > 0) || !Number.isFinite(value)) throw this.error(field, "a positive number");
    return value;
  }

  boolean(field: string, fallback: boolean): boolean {
    if (this.#absent(field)) return fallback;
    const value = this.json[field];
    if (typeof value !== "boolean") throw this.error(field, "true or false");
    return value;
  }

  /** A string out of a closed list. */
  choice<Name extends string>(field: string, names: readonly Name[], fallback?: Name): Name {
    if (this.#absent(field) && fallback !== undefined) return fallback;
    const value = this.json[field];
    if (typeof value !== "string" || !names.includes(value as Name)) throw this.error(field, `one of ${names.join(", ")}`);
    return value as Name;
  }

  /** A list with one entry per layer out of a closed list; undefined when absent. */
  perLayer<Value extends string | number>(field: string, layers: number, values: readonly Value[]): readonly Value[] | undefined {
    if (this.#absent(field)) return undefined;
    const list = this.json[field];
    if (!Array.isArray(list) || list.length !== layers || !list.every((entry) => values.includes(entry as Value))) {
      throw this.error(field, `${layers} entries out of ${values.join(", ")}`);
    }
    return list as Value[];
  }

  /** A nested object, or undefined when absent. */
  object(field: string): ConfigFields | undefined {
    if (this.#absent(field)) return undefined;
    const value = this.json[field];
    if (typeof value !== "object" || Array.isArray(value)) throw this.error(field, "an object");
    return new ConfigFields(value as JsonObject, `${this.where}: ${field}`);
  }

  /** Token ids that end a text: a number, a list, or none. */
  tokenIds(field: string): readonly number[] {
    if (this.#absent(field)) return [];
    const value = this.json[field];
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (!list.every((id): id is number => typeof id === "number" && Number.isInteger(id))) throw this.error(field, "a token id or a list of them");
    return list;
  }
}

/** Reads the fields of PEFT's adapter_config.json: what is wrong, or set and not supported, is named and refused. */
import { GiantError } from "../base/errors.ts";

type Json = Readonly<Record<string, unknown>>;

/** Fields of every configuration that say nothing about the arithmetic. */
const INERT: ReadonlySet<string> = new Set(["auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision", "task_type"]);

/** Whether a field is left as it is by default. */
function isUnset(value: unknown): boolean {
  return value === null || value === undefined || value === false || (typeof value === "object" && Object.keys(value).length === 0);
}

export class AdapterConfig {
  readonly #json: Json;
  readonly #where: string;

  /**
   * @param where the file, for messages.
   * @param read the fields that the method reads.
   * @param inert further fields without a meaning for the arithmetic.
   * @param more fields whose values are not supported, and what to do with such an adapter.
   * @throws GiantError("adapter") naming the options that are set and neither read nor inert.
   */
  constructor(
    json: Json,
    where: string,
    read: readonly string[],
    inert: readonly string[] = [],
    more: { readonly unsupported: readonly string[]; readonly hint: string } = {
      unsupported: [],
      hint: "Use this adapter with the tool that made it, or train it again without the option.",
    },
  ) {
    this.#json = json;
    this.#where = where;
    const known = new Set([...INERT, ...read, ...inert]);
    const unsupported = [...Object.keys(json).filter((field) => !known.has(field) && !isUnset(json[field])), ...more.unsupported];
    if (unsupported.length > 0) {
      throw new GiantError("adapter", `${where}: ${unsupported.map((field) => `${field} = ${JSON.stringify(json[field])}`).join(", ")} is not supported`, {
        hint: more.hint,
        facts: { unsupported },
      });
    }
  }

  /** The error of a field that has a wrong value. */
  wrong(field: string, needed: string): GiantError {
    return new GiantError("adapter", `${this.#where}: ${field} is ${JSON.stringify(this.#json[field]) ?? "missing"}, needs ${needed}`);
  }

  isSet(field: string): boolean {
    return !isUnset(this.#json[field]);
  }

  number(field: string, fallback: number | undefined, valid: (value: number) => boolean, needed: string): number {
    const value = this.#json[field] ?? fallback;
    if (typeof value !== "number" || !valid(value)) throw this.wrong(field, needed);
    return value;
  }

  positiveInteger(field: string, fallback?: number): number {
    return this.number(field, fallback, (value) => Number.isInteger(value) && value > 0, "a positive integer");
  }

  boolean(field: string, fallback: boolean): boolean {
    const value = this.#json[field] ?? fallback;
    if (typeof value !== "boolean") throw this.wrong(field, "true or false");
    return value;
  }

  /** A number that must be `needed` where it is named at all. */
  expect(field: string, needed: number, why: string): void {
    const value = this.#json[field];
    if (value !== null && value !== undefined && value !== needed) throw this.wrong(field, `${needed}, ${why}`);
  }

  text(field: string): string | undefined {
    const value = this.#json[field];
    if (value === null || value === undefined) return undefined;
    if (typeof value !== "string") throw this.wrong(field, "a string");
    return value;
  }

  choice<Choice extends string>(field: string, choices: readonly Choice[], fallback: Choice): Choice {
    const value = this.#json[field] ?? fallback;
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw this.wrong(field, choices.join(" or "));
    return found;
  }

  /** Module names, or a regular expression over whole paths; undefined where it is unset. */
  names(field: string): string | readonly string[] | undefined {
    const value = this.#json[field];
    if (value === null || value === undefined) return undefined;
    if (typeof value === "string") return value;
    if (Array.isArray(value) && value.every((name): name is string => typeof name === "string")) return value;
    throw this.wrong(field, "a string or a list of strings");
  }
}

/** Reads fields of parsed JSON, naming the field that is missing or of the wrong kind. */
import { GiantError } from "../base/errors.ts";

export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value as an object. */
export function fieldsOf(value: unknown, name: string): Fields {
  if (!isFields(value)) throw wrong(name, value, "an object");
  return value;
}

/** A text field that must be there. */
export function textField(fields: Fields, name: string, path: string = name): string {
  const value = fields[name];
  if (typeof value !== "string") throw wrong(path, value, "a text");
  return value;
}

/** A text field that must be there and hold more than white space. */
export function filledField(fields: Fields, name: string, path: string = name): string {
  const value = textField(fields, name, path);
  if (value.trim() === "") throw new GiantError("data", `${path} is empty`);
  return value;
}

/** A text field that may be absent or null, which is the empty text. */
export function optionalText(fields: Fields, name: string, path: string = name): string {
  return fields[name] === undefined || fields[name] === null ? "" : textField(fields, name, path);
}

/** `name` is `value`, but `needed` was needed. */
export function wrong(name: string, value: unknown, needed: string): GiantError {
  return new GiantError("data", value === undefined ? `${name} is missing` : `${name} is ${kindOf(value)}, but ${needed} was needed`);
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  return JSON.stringify(value); // a number or a boolean
}

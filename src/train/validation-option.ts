/** What is held out to be measured on: the option that names a file or a fraction. */
import { GiantError } from "../base/errors.ts";

/** The held-out examples an option value asks for. */
export function validationOf(options: {
  readonly validation: string;
}): { kind: "none" } | { kind: "fraction"; fraction: number } | { kind: "file"; path: string } {
  const number = Number(options.validation);
  if (Number.isNaN(number)) return { kind: "file", path: options.validation };
  if (number === 0) return { kind: "none" };
  if (number > 0 && number < 1) return { kind: "fraction", fraction: number };
  throw new GiantError("usage", `--validation: ${options.validation} is neither a file nor a fraction between 0 and 1`);
}

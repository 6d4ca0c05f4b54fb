/** The one error class of the project, and the assertion for our own bugs. */

/** What went wrong, as a closed union: callers switch on it, the CLI maps it to an exit code. */
export type GiantErrorCode =
  | "usage" // a command line or recipe that cannot be understood
  | "file" // a file or folder that cannot be read or written
  | "format" // a file whose content breaks its format
  | "model" // a model folder that is incomplete, contradictory or unsupported
  | "tokenizer" // a tokenizer or chat template that does not fit
  | "data" // records that cannot be used
  | "adapter" // an adapter that does not fit its base or is unsupported
  | "device" // a device that is absent or failed
  | "memory" // the machine would run out of memory
  | "numeric" // NaN or infinity where a number was needed
  | "interrupted" // stopped by the user; can be resumed
  | "internal"; // our own bug

export interface GiantErrorOptions {
  /** What the user can do about it: one sentence. */
  readonly hint?: string;
  /** Machine-readable details (file, line, tensor, expected, found). */
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/**
 * An error whose message says where, what was found and what was needed, on one line:
 * `support.jsonl:17: messages[1].content is missing`.
 */
export class GiantError extends Error {
  readonly code: GiantErrorCode;
  readonly hint: string | undefined;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(code: GiantErrorCode, message: string, options: GiantErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "GiantError";
    this.code = code;
    this.hint = options.hint;
    this.facts = options.facts ?? {};
  }
}

/** Process exit code for an error: 1 the user's input, 2 usage, 70 our bug, 130 interrupted. */
export function exitCodeOf(error: unknown): 1 | 2 | 70 | 130 {
  if (!(error instanceof GiantError)) return 70;
  switch (error.code) {
    case "usage":
      return 2;
    case "internal":
      return 70;
    case "interrupted":
      return 130;
    default:
      return 1;
  }
}

/** Throws an internal error when `condition` is false: a state that only our own bug can reach. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new GiantError("internal", message, { hint: "This is a bug in mini-giants; please report it." });
}

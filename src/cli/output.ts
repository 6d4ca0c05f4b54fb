/** Where a command writes: results on standard output, everything else on standard error. */

export interface Output {
  /** Results: what a script may want to read. */
  out(text: string): void;
  /** Progress, warnings, errors. */
  err(text: string): void;
  /** True when standard error is a terminal: progress may be drawn over itself. */
  readonly live: boolean;
  /** True when standard output is a terminal rather than a file or another program. */
  readonly outIsTerminal: boolean;
  /** The width of the terminal in columns. */
  readonly columns: number;
}

/** The process's own streams. */
export function processOutput(): Output {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    live: process.stderr.isTTY === true,
    outIsTerminal: process.stdout.isTTY === true,
    columns: process.stdout.columns ?? 100,
  };
}

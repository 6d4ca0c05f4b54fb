/** Collects what is wrong with a data file, so that one run names up to 20 problems instead of the first. */
import { GiantError } from "../base/errors.ts";

/** How many problems a message lists; all are counted. */
const LISTED = 20;

export interface Problem {
  readonly line: number;
  readonly message: string;
}

export class Problems {
  readonly #source: string;
  readonly #first: Problem[] = [];
  #count: number = 0;

  /** @param source the file, as messages name it. */
  constructor(source: string) {
    this.#source = source;
  }

  get count(): number {
    return this.#count;
  }

  add(line: number, message: string): void {
    this.#count++;
    if (this.#first.length < LISTED) this.#first.push({ line, message });
  }

  /** Throws one GiantError("data") that lists the first problems by line and counts all, if there are any. */
  throwIfAny(): void {
    if (this.#count === 0) return;
    const lines = this.#first.toSorted((a, b) => a.line - b.line).map(({ line, message }) => `${this.#source}:${line}: ${message}`);
    const facts = { source: this.#source, count: this.#count, problems: this.#first };
    if (this.#count === 1) throw new GiantError("data", lines[0]!, { facts });
    const heading = `${this.#source}: ${this.#count} problems${this.#count > LISTED ? `, the first ${LISTED}` : ""}:`;
    throw new GiantError("data", [heading, ...lines.map((line) => `  ${line}`)].join("\n"), { facts });
  }
}

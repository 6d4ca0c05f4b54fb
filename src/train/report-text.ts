/** Words that reports share. */

/** A part of a whole in percent, with two figures where it is small. */
export function formatShare(part: number): string {
  const percent = 100 * part;
  return `${percent >= 10 ? percent.toFixed(0) : percent.toPrecision(2)}%`;
}

/** The last name of a path. */
export function lastName(path: string): string {
  return path.split(/[\\/]/).findLast((part) => part !== "") ?? path;
}

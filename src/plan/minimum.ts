/** Searching along one line: the minimum of a function with one valley, and the place where a statement turns true. */

const GOLDEN = (Math.sqrt(5) - 1) / 2;
const HALVINGS = 200; // enough for two doubles to meet from any start

/** The place of the minimum of a function with one valley in [low, high], by golden-section search. */
export function goldenMinimum(f: (x: number) => number, low: number, high: number): number {
  let left = high - GOLDEN * (high - low);
  let right = low + GOLDEN * (high - low);
  let [atLeft, atRight] = [f(left), f(right)];
  for (let i = 0; i < HALVINGS && right > left; i++) {
    if (atLeft <= atRight) {
      [high, right, atRight] = [right, left, atLeft];
      left = high - GOLDEN * (high - low);
      atLeft = f(left);
    } else {
      [low, left, atLeft] = [left, right, atRight];
      right = low + GOLDEN * (high - low);
      atRight = f(right);
    }
  }
  return (low + high) / 2;
}

/** The place in [low, high] from which a predicate holds that turns true once; undefined when it does not hold at `high`. */
export function firstWhere(holds: (x: number) => boolean, low: number, high: number): number | undefined {
  if (!holds(high)) return undefined;
  if (holds(low)) return low;
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) break;
    if (holds(middle)) high = middle;
    else low = middle;
  }
  return high;
}

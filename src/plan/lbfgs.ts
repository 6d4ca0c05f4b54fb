/** L-BFGS: minimises a smooth function of a few variables from its values and gradients. */

/** Value at `x`; writes the gradient into `gradient`. */
export type Objective = (x: Float64Array, gradient: Float64Array) => number;

export interface MinimizeOptions {
  /** Pairs of steps and gradient changes that are remembered. */
  readonly memory?: number;
  readonly maxIterations?: number;
  /** Done when no entry of the gradient is larger. */
  readonly gradientTolerance?: number;
  /** Done when two iterations in a row lower the value by less than this share of it. */
  readonly valueTolerance?: number;
}

export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
  readonly iterations: number;
  /** False when `maxIterations` came first. */
  readonly converged: boolean;
}

// Strong Wolfe conditions with the constants of Nocedal & Wright for quasi-Newton methods.
const SUFFICIENT_DECREASE = 1e-4;
const CURVATURE = 0.9;
const LINE_TRIALS = 40;

interface Point {
  readonly x: Float64Array;
  readonly value: number;
  readonly gradient: Float64Array;
}

/** Nocedal & Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5 with the line search 3.5 and 3.6. */
export function minimize(objective: Objective, start: Float64Array, options: MinimizeOptions = {}): Minimum {
  const { memory = 10, maxIterations = 1000, gradientTolerance = 1e-12, valueTolerance = 1e-14 } = options;
  const at = (x: Float64Array): Point => {
    const gradient = new Float64Array(x.length);
    return { value: objective(x, gradient), x, gradient };
  };
  let point = at(Float64Array.from(start));
  const steps: Float64Array[] = [];
  const changes: Float64Array[] = [];
  let still = 0;
  let iterations = 0;
  while (iterations < maxIterations) {
    if (largest(point.gradient) <= gradientTolerance) return { x: point.x, value: point.value, iterations, converged: true };
    const direction = descent(point.gradient, steps, changes);
    const next = lineSearch(at, point, direction, steps.length === 0 ? Math.min(1, 1 / largest(point.gradient)) : 1);
    iterations++;
    if (!next) {
      // No step along the remembered curvature lowers the value: forget it once, and be done when the bare gradient fails too.
      if (steps.length === 0) return { x: point.x, value: point.value, iterations, converged: true };
      steps.length = changes.length = 0;
      continue;
    }
    const step = difference(next.x, point.x);
    const change = difference(next.gradient, point.gradient);
    if (dot(step, change) > 1e-300) {
      steps.push(step);
      changes.push(change);
      if (steps.length > memory) {
        steps.shift();
        changes.shift();
      }
    }
    still = point.value - next.value <= valueTolerance * Math.abs(next.value) ? still + 1 : 0;
    point = next;
    if (still >= 2) return { x: point.x, value: point.value, iterations, converged: true };
  }
  return { x: point.x, value: point.value, iterations, converged: false };
}

/** The two-loop recursion: −H·gradient, where H is the inverse Hessian that the remembered pairs imply. */
function descent(gradient: Float64Array, steps: readonly Float64Array[], changes: readonly Float64Array[]): Float64Array {
  const direction = gradient.map((value) => -value);
  const factors: number[] = [];
  for (let i = steps.length - 1; i >= 0; i--) {
    const factor = dot(steps[i]!, direction) / dot(steps[i]!, changes[i]!);
    factors[i] = factor;
    addScaled(direction, changes[i]!, -factor);
  }
  const last = steps.length - 1;
  if (last >= 0) {
    const scale = dot(steps[last]!, changes[last]!) / dot(changes[last]!, changes[last]!);
    for (let i = 0; i < direction.length; i++) direction[i]! *= scale;
  }
  for (let i = 0; i < steps.length; i++) {
    addScaled(direction, steps[i]!, factors[i]! - dot(changes[i]!, direction) / dot(steps[i]!, changes[i]!));
  }
  return direction;
}

/** A point along the direction that meets the strong Wolfe conditions, or the best lower one found; undefined when none is lower. */
function lineSearch(at: (x: Float64Array) => Point, from: Point, direction: Float64Array, first: number): Point | undefined {
  const slope = dot(from.gradient, direction);
  if (!(slope < 0)) return undefined;
  const slopeAt = (point: Point): number => dot(point.gradient, direction);
  // [low, high] holds an acceptable step as soon as `high` is known; `low` is the better end.
  let low = { length: 0, point: from };
  let high: { readonly length: number; readonly point: Point } | undefined;
  let length = first;
  for (let trial = 0; trial < LINE_TRIALS; trial++) {
    const point = at(from.x.map((value, i) => value + length * direction[i]!));
    const decreases = point.value <= from.value + SUFFICIENT_DECREASE * length * slope; // false for NaN too
    if (!decreases || point.value >= low.point.value) {
      high = { length, point };
    } else {
      const here = slopeAt(point);
      if (Math.abs(here) <= -CURVATURE * slope) return point;
      if (here * ((high?.length ?? Infinity) - low.length) >= 0) high = low;
      low = { length, point };
    }
    length = high === undefined ? length * 2 : between(low, high, slopeAt(low.point));
    if (high !== undefined && Math.abs(high.length - low.length) <= 1e-16 * Math.abs(low.length)) break;
  }
  return low.point.value < from.value ? low.point : undefined;
}

/** The minimum of the parabola through the better end, its slope and the other end; kept away from both ends. */
function between(
  low: { readonly length: number; readonly point: Point },
  high: { readonly length: number; readonly point: Point },
  slopeAtLow: number,
): number {
  const width = high.length - low.length;
  const bend = high.point.value - low.point.value - slopeAtLow * width;
  const share = (-slopeAtLow * width) / (2 * bend);
  return low.length + width * (share >= 0.1 && share <= 0.9 ? share : 0.5);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function difference(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value - b[i]!);
}

function addScaled(to: Float64Array, what: Float64Array, factor: number): void {
  for (let i = 0; i < to.length; i++) to[i]! += factor * what[i]!;
}

function largest(values: Float64Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

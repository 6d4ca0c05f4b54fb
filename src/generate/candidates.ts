/** The tokens that may still be sampled, with their scores: every filter narrows one such set in place. */
import { GiantError } from "../base/errors.ts";

const BUCKETS = 2048;

/** The bucket of a token whose score lies `distance` ≥ 0 nats below the largest: 1/64 nat each, and one for all the rest. */
function bucketOf(distance: number): number {
  return Math.min(BUCKETS - 1, Math.floor(distance * 64));
}

/** The tokens left and their scores; the arrays are made once and reused for every step. */
export class Candidates {
  /** Token ids, ascending; the first `count` count. */
  readonly ids: Int32Array; // [V]
  readonly scores: Float32Array; // [V]
  /** Softmax of the scores, after `softmax()`. */
  readonly probabilities: Float64Array; // [V]
  readonly #values: Float64Array; // [V], scratch
  readonly #sorted: Float64Array; // [V], scratch
  readonly #buckets: Float64Array = new Float64Array(BUCKETS);
  count = 0;

  constructor(vocabularySize: number) {
    this.ids = new Int32Array(vocabularySize);
    this.scores = new Float32Array(vocabularySize);
    this.probabilities = new Float64Array(vocabularySize);
    this.#values = new Float64Array(vocabularySize);
    this.#sorted = new Float64Array(vocabularySize);
  }

  /** Takes every token; `scores[id]` is then that of token `id`, until the first filter. */
  load(logits: Float32Array): void {
    this.scores.set(logits);
    for (let i = 0; i < logits.length; i++) this.ids[i] = i;
    this.count = logits.length;
  }

  /** Removes tokens of score −∞; throws GiantError "numeric" for a score that is no number, or when nothing is left. */
  dropImpossible(): void {
    const { ids, scores } = this;
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      const score = scores[i]!;
      if (score === -Infinity) continue;
      if (!Number.isFinite(score)) {
        throw new GiantError("numeric", `the logit of token ${ids[i]} is ${score}, needed a finite number`, {
          hint: "The model diverged, or its weights are damaged; try full precision.",
        });
      }
      ids[kept] = ids[i]!;
      scores[kept++] = score;
    }
    this.count = kept;
    if (kept === 0) {
      throw new GiantError("numeric", "no token is left to choose from: every logit is -Infinity", {
        hint: "Loosen the restrictions, such as the size of n-grams that may not repeat.",
      });
    }
  }

  divide(divisor: number): void {
    for (let i = 0; i < this.count; i++) this.scores[i]! /= divisor;
  }

  /** Fills `probabilities`; returns the largest. */
  softmax(): number {
    const { scores, probabilities, count } = this;
    let largest = -Infinity;
    for (let i = 0; i < count; i++) if (scores[i]! > largest) largest = scores[i]!;
    let sum = 0;
    for (let i = 0; i < count; i++) sum += probabilities[i] = Math.exp(scores[i]! - largest);
    for (let i = 0; i < count; i++) probabilities[i]! /= sum;
    return 1 / sum;
  }

  /** The entropy of `probabilities` in nats. */
  entropyNats(): number {
    let sum = 0;
    for (let i = 0; i < this.count; i++) {
      const p = this.probabilities[i]!;
      if (p > 0) sum -= p * Math.log(p);
    }
    return sum;
  }

  /** Keeps the `k` largest scores, and what equals the smallest of them. */
  keepLargest(k: number): void {
    if (k >= this.count) return;
    const { scores } = this;
    // A heap of the k largest so far, the smallest on top: one comparison rejects nearly every token.
    const heap = this.#values;
    for (let i = 0; i < k; i++) heap[i] = scores[i]!;
    for (let i = (k >> 1) - 1; i >= 0; i--) siftDown(heap, i, k);
    for (let i = k; i < this.count; i++) {
      if (scores[i]! <= heap[0]!) continue;
      heap[0] = scores[i]!;
      siftDown(heap, 0, k);
    }
    this.#retain(scores, heap[0]!, Infinity);
  }

  /** Keeps probabilities of at least `least`. */
  keepProbable(least: number): void {
    this.#retain(this.probabilities, least, Infinity);
  }

  /** Keeps the fewest most probable tokens that together reach `mass` < 1 (the nucleus); of equal ones the lower ids. */
  keepNucleus(mass: number): void {
    const { scores, probabilities, count } = this;
    let largest = -Infinity;
    for (let i = 0; i < count; i++) if (scores[i]! > largest) largest = scores[i]!;
    // Buckets by distance from the largest score tell near which score the nucleus ends: only that bucket is sorted.
    const buckets = this.#buckets.fill(0);
    for (let i = 0; i < count; i++) buckets[bucketOf(largest - scores[i]!)]! += probabilities[i]!;
    let last = 0;
    let sum = 0;
    while (last < BUCKETS - 1 && sum + buckets[last]! < mass) sum += buckets[last++]!;
    let n = 0;
    for (let i = 0; i < count; i++) if (bucketOf(largest - scores[i]!) === last) this.#sorted[n++] = probabilities[i]!;
    if (n === 0) return; // rounding left the sum of all below the mass
    const sorted = this.#sorted.subarray(0, n).sort();
    let taken = 0;
    while (taken < n && (sum < mass || taken === 0)) sum += sorted[n - ++taken]!;
    const least = sorted[n - taken]!;
    let above = 0;
    while (sorted[n - 1 - above]! > least) above++;
    this.#retain(probabilities, least, taken - above);
  }

  /** Keeps the tokens whose surprise is nearest to the entropy and that together reach `mass` (locally typical sampling). */
  keepTypical(mass: number): void {
    const { probabilities, count } = this;
    const entropy = this.entropyNats();
    const deviation = this.#values;
    for (let i = 0; i < count; i++) deviation[i] = Math.abs(-Math.log(probabilities[i]!) - entropy);
    this.#sorted.set(deviation.subarray(0, count));
    const sorted = this.#sorted.subarray(0, count).sort();
    let low = 0;
    let high = count - 1; // the smallest position whose deviation covers the mass lies in [low, high]
    while (low < high) {
      const middle = (low + high) >> 1;
      let covered = 0;
      for (let i = 0; i < count; i++) if (deviation[i]! <= sorted[middle]!) covered += probabilities[i]!;
      if (covered >= mass) high = middle;
      else low = middle + 1;
    }
    const most = sorted[low]!;
    for (let i = 0; i < count; i++) deviation[i] = -deviation[i]!;
    this.#retain(deviation, -most, Infinity);
  }

  /** Keeps what lies above `least` in `values`, and the first `ties` tokens that equal it. */
  #retain(values: ArrayLike<number>, least: number, ties: number): void {
    const { ids, scores, probabilities, count } = this;
    let kept = 0;
    let left = ties;
    for (let i = 0; i < count; i++) {
      const value = values[i]!;
      if (value < least || (value === least && left-- <= 0)) continue;
      ids[kept] = ids[i]!;
      scores[kept] = scores[i]!;
      probabilities[kept++] = probabilities[i]!;
    }
    this.count = kept;
  }
}

function siftDown(heap: Float64Array, from: number, size: number): void {
  const value = heap[from]!;
  let at = from;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= value) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = value;
}

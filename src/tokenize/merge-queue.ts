/** The pairs that may be merged next, the most frequent first. */

export interface Candidate {
  readonly left: number;
  readonly right: number;
  /** The pair's count when it was put in; counts can only have fallen since. */
  count: number;
  /** The words that the pair stands in, or stood in, ascending. */
  readonly words: readonly number[];
}

/** A binary heap; equal counts are ordered by the ids of the pair, lower first. */
export class MergeQueue {
  readonly #heap: Candidate[] = [];

  push(candidate: Candidate): void {
    const heap = this.#heap;
    let i = heap.length;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(candidate, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = candidate;
  }

  pop(): Candidate | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return top;
    let i = 0;
    for (let child = 1; child < heap.length; child = 2 * i + 1) {
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

function before(a: Candidate, b: Candidate): boolean {
  return (a.count - b.count || b.left - a.left || b.right - a.right) > 0;
}

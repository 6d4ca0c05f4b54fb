/** Packs sequences into rows of limited length by best fit. */

/**
 * Puts each item into the fullest row that still has room for it, longest items first (best-fit decreasing; Johnson 1973
 * bounds the rows by 11/9 of the least number + 4); items of equal length keep their order.
 * @param lengths length of each item, at most `capacity`.
 * @returns rows of item numbers.
 */
export function packBestFit(items: readonly number[], lengths: (item: number) => number, capacity: number): number[][] {
  const rows: number[][] = [];
  const withRoom: number[][] = Array.from({ length: capacity + 1 }, () => []); // rows by the room they have left
  const rooms = new RoomSet(capacity + 1);
  for (const item of items.toSorted((a, b) => lengths(b) - lengths(a))) {
    const length = lengths(item);
    let room = rooms.atLeast(length);
    let row: number;
    if (room < 0) {
      row = rows.push([]) - 1;
      room = capacity;
    } else {
      row = withRoom[room]!.pop()!;
      if (withRoom[room]!.length === 0) rooms.delete(room);
    }
    rows[row]!.push(item);
    withRoom[room - length]!.push(row);
    rooms.add(room - length);
  }
  return rows;
}

/** A set of small numbers that finds the least member not below a number, 32 at a time. */
class RoomSet {
  readonly #words: Uint32Array;

  constructor(size: number) {
    this.#words = new Uint32Array(Math.ceil(size / 32));
  }

  add(n: number): void {
    this.#words[n >>> 5]! |= 1 << (n & 31);
  }

  delete(n: number): void {
    this.#words[n >>> 5]! &= ~(1 << (n & 31));
  }

  /** The least member ≥ n, or −1. */
  atLeast(n: number): number {
    let word = this.#words[n >>> 5]! & (-1 << (n & 31));
    for (let i = n >>> 5; ; word = this.#words[i]!) {
      if (word !== 0) return i * 32 + 31 - Math.clz32(word & -word);
      if (++i >= this.#words.length) return -1;
    }
  }
}

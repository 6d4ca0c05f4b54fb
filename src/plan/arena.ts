/** ONNX Runtime's memory arena, made again: how much it takes from the system for a given course of requests. */

/** A piece of a region: in use or free. */
interface Chunk {
  readonly address: number;
  size: number;
  free: boolean;
  before: Chunk | undefined;
  after: Chunk | undefined;
}

const GRAIN = 256; // bytes
const FIRST_REGION = 2 ** 20;
const LARGEST_DOUBLING = 2 ** 30;
/** A chunk that is larger than asked for by more than this is split even if less than half of it would be left. */
const MOST_WASTED = 128 * 2 ** 20;

/**
 * `BFCArena` of ONNX Runtime 1.30 with its usual settings: the smallest free chunk that fits is taken, and split when it
 * is twice as large; neighbours that are free are joined; regions double and are never given back.
 *
 * A page counts from its first use on, so `touchedBytes` is what the arena adds to the resident set.
 */
export class Arena {
  /** Free chunks by size and address. */
  readonly #free: Chunk[] = [];
  /** Per region: where it begins, and the highest address that was handed out. */
  readonly #regions: { readonly begin: number; readonly end: number; touched: number }[] = [];
  #nextRegion = FIRST_REGION;
  #end = 0;

  /** Bytes of all regions that were ever handed out. */
  get touchedBytes(): number {
    return this.#regions.reduce((sum, { begin, touched }) => sum + touched - begin, 0);
  }

  take(bytes: number): Chunk {
    const size = Math.ceil(Math.max(bytes, 1) / GRAIN) * GRAIN;
    let at = this.#firstOfSize(size);
    if (at === this.#free.length) {
      this.#extend(size);
      at = this.#firstOfSize(size);
    }
    const [chunk] = this.#free.splice(at, 1) as [Chunk];
    chunk.free = false;
    if (chunk.size >= 2 * size || chunk.size - size >= MOST_WASTED) {
      const rest: Chunk = { address: chunk.address + size, size: chunk.size - size, free: true, before: chunk, after: chunk.after };
      if (chunk.after !== undefined) chunk.after.before = rest;
      chunk.after = rest;
      chunk.size = size;
      this.#insert(rest);
    }
    const region = this.#regions.find(({ begin, end }) => chunk.address >= begin && chunk.address < end)!;
    region.touched = Math.max(region.touched, chunk.address + size);
    return chunk;
  }

  give(given: Chunk): void {
    let chunk = given;
    chunk.free = true;
    if (chunk.after?.free === true) this.#join(chunk, chunk.after);
    if (chunk.before?.free === true) {
      const { before } = chunk;
      this.#remove(before);
      this.#joinInto(before, chunk);
      chunk = before;
    }
    this.#insert(chunk);
  }

  #join(chunk: Chunk, after: Chunk): void {
    this.#remove(after);
    this.#joinInto(chunk, after);
  }

  #joinInto(chunk: Chunk, after: Chunk): void {
    chunk.size += after.size;
    chunk.after = after.after;
    if (after.after !== undefined) after.after.before = chunk;
  }

  #extend(size: number): void {
    let grown = false;
    while (size > this.#nextRegion) {
      this.#nextRegion *= 2;
      grown = true;
    }
    const begin = this.#end;
    this.#end += this.#nextRegion;
    this.#regions.push({ begin, end: this.#end, touched: begin });
    this.#insert({ address: begin, size: this.#nextRegion, free: true, before: undefined, after: undefined });
    if (!grown) this.#nextRegion = Math.min(this.#nextRegion * 2, Math.max(this.#nextRegion, LARGEST_DOUBLING));
  }

  /** Where in the list of free chunks the first of at least this size stands. */
  #firstOfSize(size: number, address = 0): number {
    let [low, high] = [0, this.#free.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const chunk = this.#free[middle]!;
      if (chunk.size < size || (chunk.size === size && chunk.address < address)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #insert(chunk: Chunk): void {
    this.#free.splice(this.#firstOfSize(chunk.size, chunk.address), 0, chunk);
  }

  #remove(chunk: Chunk): void {
    this.#free.splice(this.#firstOfSize(chunk.size, chunk.address), 1);
  }
}

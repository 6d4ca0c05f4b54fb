/**
 * Double quantisation (Dettmers et al. 2023, arXiv 2305.14314, section 3): the blocks' magnitudes in eight bits.
 *
 *   μ = mean of s,   t_k = max |s − μ| over block k,   c = the code whose m_c is nearest to (s − μ) / t_k
 *   s ≈ m_c · t_k + μ
 *
 * The map m is the signed dynamic one (Dettmers 2015, arXiv 1511.04561): a number of leading zeros says the power of ten,
 * the bits behind them its fraction. With blocks of 64 weights and of 256 magnitudes a weight takes 4.127 bits for 4.5.
 */

/** Magnitudes of a block of weights that share a nested magnitude. */
export const NESTED_BLOCK_SIZE = 256;

/** Bits that may be spent on the power of ten: all but the sign. */
const EXPONENT_BITS = 7;

/** m_0 … m_255, ascending, as bitsandbytes' create_dynamic_map makes them in float32. */
export const DYNAMIC_MAP: Readonly<Float32Array> = dynamicMap();

function dynamicMap(): Float32Array {
  const f = Math.fround;
  const values: number[] = [0, 1];
  for (let i = 0; i < EXPONENT_BITS; i++) {
    const count = 2 ** i;
    const step = f(f(1 - f(0.1)) / count);
    // As torch.linspace counts: the first half from the beginning, the second from the end, rounded once.
    const boundary = (k: number): number => (k < Math.floor((count + 1) / 2) ? f(f(0.1) + step * k) : f(1 - step * (count - k)));
    for (let k = 0; k < count; k++) {
      const mean = f(f(boundary(k) + boundary(k + 1)) / 2);
      const value = f(f(10 ** (i - EXPONENT_BITS + 1)) * mean);
      values.push(value, -value);
    }
  }
  return Float32Array.from(values).sort();
}

/** Magnitudes in eight bits. */
export interface NestedAbsmax {
  /** One code per block of weights. */
  readonly codes: Uint8Array;
  /** t: one per `NESTED_BLOCK_SIZE` of them. */
  readonly nested: Float32Array;
  /** μ, a float32. */
  readonly offset: number;
}

/** Quantises the magnitudes of a matrix's blocks. */
export function quantizeAbsmax(absmax: Float32Array): NestedAbsmax {
  const offset = Math.fround(absmax.reduce((sum, value) => sum + value, 0) / absmax.length);
  const codes = new Uint8Array(absmax.length);
  const nested = new Float32Array(Math.ceil(absmax.length / NESTED_BLOCK_SIZE));
  for (let k = 0; k < nested.length; k++) {
    const [from, to] = [k * NESTED_BLOCK_SIZE, Math.min((k + 1) * NESTED_BLOCK_SIZE, absmax.length)];
    let largest = 0;
    for (let i = from; i < to; i++) largest = Math.max(largest, Math.abs(Math.fround(absmax[i]! - offset)));
    nested[k] = largest;
    for (let i = from; i < to; i++) codes[i] = nearest(largest === 0 ? 0 : Math.fround(Math.fround(absmax[i]! - offset) / largest));
  }
  return { codes, nested, offset };
}

/** The code whose value is nearest; of two equally near the lower one. */
function nearest(x: number): number {
  let [low, high] = [0, DYNAMIC_MAP.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x > (DYNAMIC_MAP[middle]! + DYNAMIC_MAP[middle + 1]!) / 2) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The magnitudes that codes stand for, each step rounded to float32; `map` is the map of the file they come from. */
export function dequantizeAbsmax(
  { codes, nested, offset }: NestedAbsmax,
  map: Readonly<Float32Array> = DYNAMIC_MAP,
  blockSize: number = NESTED_BLOCK_SIZE,
): Float32Array {
  const absmax = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) {
    const product = Math.fround(map[codes[i]!]! * nested[Math.floor(i / blockSize)]!);
    absmax[i] = product + offset;
  }
  return absmax;
}

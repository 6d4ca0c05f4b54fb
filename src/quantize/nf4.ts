/**
 * NF4, the 4-bit NormalFloat of QLoRA (Dettmers et al. 2023, arXiv 2305.14314, section 3 and appendix E).
 *
 *   s_b = max |w| over block b,   c = the code whose q_c is nearest to w / s_b,   w ≈ q_c · s_b
 *
 * The sixteen q_c are quantiles of a normal distribution, so that normally distributed weights use all codes alike.
 * Blocks run over the matrix as it lies, row after row; the last one may be short. Two codes share a byte, the first one
 * in its upper half. Codes are those of bitsandbytes.
 */
import { GiantError } from "../base/errors.ts";

/** q_0 … q_15 (appendix E). */
export const NF4_TABLE: Readonly<Float32Array> = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

/** The values of both codes of a byte, [256, 2]. */
export const NF4_PAIRS: Float32Array = Float32Array.from({ length: 512 }, (_, i) => NF4_TABLE[(i & 1) === 0 ? i >> 5 : (i >> 1) & 15]!);

/** Block sizes that bitsandbytes knows, in weights. */
export const NF4_BLOCK_SIZES: readonly number[] = [32, 64, 128, 256, 512, 1024, 2048, 4096];

/** Weights in four bits. */
export interface Nf4Codes {
  /** Two codes a byte, ⌈n/2⌉. */
  readonly codes: Uint8Array;
  /** The largest magnitude of each block, ⌈n/blockSize⌉. */
  readonly absmax: Float32Array;
}

/** The code of zero, for blocks of zeros: their weights have no quotient. */
const ZERO = NF4_TABLE.indexOf(0);

/** Places on [−1, 1] so narrow that a boundary between two codes lies in each at most once. */
const PLACES = 64;

/** Code at the lower end of each place, and the boundary in it: above the boundary the code is one more. */
const [LOWER, BOUNDARY] = places();

function places(): [lower: Uint8Array, boundary: Float32Array] {
  const boundaries = Float32Array.from({ length: 15 }, (_, c) => (NF4_TABLE[c]! + NF4_TABLE[c + 1]!) / 2);
  const [lower, boundary] = [new Uint8Array(PLACES + 1), new Float32Array(PLACES + 1).fill(Infinity)];
  for (let place = 0; place <= PLACES; place++) {
    const from = (2 * place) / PLACES - 1;
    const code = boundaries.findIndex((b) => b >= from);
    lower[place] = code < 0 ? 15 : code;
    if (code >= 0) boundary[place] = boundaries[code]!;
  }
  return [lower, boundary];
}

/**
 * Quantises a matrix given row after row.
 * @throws GiantError("numeric") when a weight is infinite or not a number.
 */
export function quantizeNf4(values: Float32Array, blockSize: number): Nf4Codes {
  const n = values.length;
  const codes = new Uint8Array(Math.ceil(n / 2));
  const absmax = new Float32Array(Math.ceil(n / blockSize));
  for (let b = 0, from = 0; from < n; b++, from += blockSize) {
    const to = Math.min(from + blockSize, n);
    let [largest, sum] = [0, 0];
    for (let i = from; i < to; i++) {
      const size = Math.abs(values[i]!);
      if (size > largest) largest = size;
      sum += size; // not finite when one of them is not
    }
    if (!Number.isFinite(sum)) throw new GiantError("numeric", `block ${b} holds a weight that is infinite or not a number, needed finite weights`);
    absmax[b] = largest;
    quantizeBlock(values, from, to, largest, codes);
  }
  return { codes, absmax };
}

/** Blocks begin at even places, so that no byte belongs to two of them. */
function quantizeBlock(values: Float32Array, from: number, to: number, largest: number, codes: Uint8Array): void {
  // Rounded to float32 where bitsandbytes' kernel rounds.
  const inverse = Math.fround(1 / largest);
  if (!Number.isFinite(inverse)) {
    // All zero, or so near to it that the inverse is beyond float32: there the quotient itself is taken.
    for (let i = from; i < to; i++) put(codes, i, largest === 0 ? ZERO : codeOf(values[i]! / largest));
    return;
  }
  const pairs = to - ((to - from) & 1);
  for (let i = from; i < pairs; i += 2) {
    const [x, y] = [Math.fround(values[i]! * inverse), Math.fround(values[i + 1]! * inverse)];
    const [p, q] = [((x + 1) * (PLACES / 2)) | 0, ((y + 1) * (PLACES / 2)) | 0];
    const first = LOWER[p]! + (x > BOUNDARY[p]! ? 1 : 0);
    const second = LOWER[q]! + (y > BOUNDARY[q]! ? 1 : 0);
    codes[i >> 1] = (first << 4) | second;
  }
  if (pairs < to) put(codes, pairs, codeOf(Math.fround(values[pairs]! * inverse)));
}

function codeOf(x: number): number {
  const place = ((x + 1) * (PLACES / 2)) | 0;
  return LOWER[place]! + (x > BOUNDARY[place]! ? 1 : 0);
}

function put(codes: Uint8Array, i: number, code: number): void {
  codes[i >> 1]! |= (i & 1) === 0 ? code << 4 : code;
}

/** The weights that codes stand for, q_c · s_b in float32; `out` has their number. */
export function dequantizeNf4({ codes, absmax }: Nf4Codes, blockSize: number, out: Float32Array): Float32Array {
  for (let b = 0, from = 0; from < out.length; b++, from += blockSize) {
    const to = Math.min(from + blockSize, out.length);
    const largest = absmax[b]!;
    for (let i = from; i < to; i++) {
      const byte = codes[i >> 1]!;
      out[i] = NF4_TABLE[(i & 1) === 0 ? byte >> 4 : byte & 15]! * largest;
    }
  }
  return out;
}

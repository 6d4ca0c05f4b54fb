/** Weights as int8 codes with one scale per output: symmetric, rounded to nearest. */

export interface Int8Matrix {
  /** [K, N], row-major. */
  readonly codes: Int8Array;
  /** [N]: W[k, n] ≈ codes[k, n] · scales[n]. */
  readonly scales: Float32Array;
}

/** The largest code there is. */
export const LARGEST_CODE: number = 127;

/**
 * The int8 form of a matrix W [K, N].
 * @param values its elements, row-major; where `transposed` is set those of Wᵀ, [N, K].
 * @param largest code that may occur: less than 127 where a processor adds up pairs of products in too few bits.
 */
export function quantizeInt8(
  values: Float32Array,
  [K, N]: readonly [K: number, N: number],
  { transposed = false, largest = LARGEST_CODE }: { readonly transposed?: boolean; readonly largest?: number } = {},
): Int8Matrix {
  const [alongK, alongN] = transposed ? [1, K] : [N, 1];
  const scales = new Float32Array(N);
  const codes = new Int8Array(K * N);
  // Row by row of what is read: a walk across rows would miss the cache at every element.
  const [outer, inner] = transposed ? [N, K] : [K, N];
  for (let i = 0, at = 0; i < outer; i++) {
    for (let j = 0; j < inner; j++, at++) {
      const n = transposed ? i : j;
      scales[n] = Math.max(scales[n]!, Math.abs(values[at]!));
    }
  }
  const factors = new Float64Array(N);
  for (let n = 0; n < N; n++) {
    factors[n] = scales[n] === 0 ? 0 : largest / scales[n]!;
    scales[n] = scales[n]! / largest;
  }
  for (let k = 0, at = 0; k < K; k++) {
    for (let n = 0; n < N; n++, at++) codes[at] = Math.round(values[k * alongK + n * alongN]! * factors[n]!);
  }
  return { codes, scales };
}

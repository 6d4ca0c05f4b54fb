/** What a forecast of time needs to know of a machine; `runtime` measures it, tests give their own. */

/** How two matrices are stored that are multiplied: A·B, A·Bᵀ, Aᵀ·B, Aᵀ·Bᵀ. */
export type Orientation = "NN" | "NT" | "TN" | "TT";

/** A rate that hangs on how much is moved at once. */
export interface Rate {
  /** Bytes read and written by one operator. */
  readonly bytes: number;
  readonly bytesPerSecond: number;
}

/** A product takes its share of all three: dividing the work among threads, arithmetic, and packing of its operands. */
export interface ProductFigures {
  readonly seconds: number;
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
}

export interface MachineFigures {
  readonly device: string;
  readonly threads: number;
  readonly products: Readonly<Record<Exclude<Orientation, "TT">, ProductFigures>>;
  /** Bytes of a matrix per second that is multiplied by a single row: what writing a token is bound by. */
  readonly rowProductBytesPerSecond: number;
  /** Of sums and products element by element, from small tensors to large ones. */
  readonly elementwise: readonly Rate[];
  readonly softmaxBytesPerSecond: number;
  /** Of transpositions, slices and their like, from small tensors to large ones. */
  readonly movement: readonly Rate[];
  /** Of outputs that come in new memory, as the cache does with every token: each page is cleared before it is written. */
  readonly freshBytesPerSecond: number;
  /** Of an operator with nothing to do. */
  readonly secondsPerOperator: number;
  /** Of handing one tensor in or out of a run. */
  readonly secondsPerTensor: number;
}

/**
 * Two cores of a server of 2024 (AMD EPYC, AVX-512), as the probe finds them when nobody disturbs: for proportions between
 * the parts of a run where nothing was measured, and for tests.
 */
export const USUAL_MACHINE: MachineFigures = {
  device: "cpu",
  threads: 2,
  products: {
    NN: { seconds: 5e-6, flopsPerSecond: 170e9, bytesPerSecond: 36e9 },
    NT: { seconds: 5e-6, flopsPerSecond: 175e9, bytesPerSecond: 25e9 },
    TN: { seconds: 5e-6, flopsPerSecond: 165e9, bytesPerSecond: 10e9 },
  },
  rowProductBytesPerSecond: 22e9,
  elementwise: [
    { bytes: 2e5, bytesPerSecond: 18e9 },
    { bytes: 3e6, bytesPerSecond: 35e9 },
    { bytes: 1e7, bytesPerSecond: 30e9 },
    { bytes: 1e8, bytesPerSecond: 11e9 },
  ],
  softmaxBytesPerSecond: 20e9,
  movement: [
    { bytes: 6e4, bytesPerSecond: 4e9 },
    { bytes: 2e6, bytesPerSecond: 25e9 },
  ],
  freshBytesPerSecond: 2e9,
  secondsPerOperator: 1.2e-6,
  secondsPerTensor: 7e-6,
};

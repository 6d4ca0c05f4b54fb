/** What a forecast of time needs to know of a machine; `runtime` measures it, tests give their own. */

/** How two matrices are stored that are multiplied: A·B, A·Bᵀ, Aᵀ·B, Aᵀ·Bᵀ. */
export type Orientation = "NN" | "NT" | "TN" | "TT";

/** A rate that hangs on how much is moved at once. */
export interface Rate {
  /** Bytes read and written by one operator. */
  readonly bytes: number;
  readonly bytesPerSecond: number;
}

export interface MachineFigures {
  readonly device: string;
  readonly threads: number;
  /** A product takes flops / flopsPerSecond + bytes / bytesPerSecond: its arithmetic, and the packing of its operands. */
  readonly products: Readonly<Record<Exclude<Orientation, "TT">, { readonly flopsPerSecond: number; readonly bytesPerSecond: number }>>;
  /** Bytes of a matrix per second that is multiplied by a single row: what writing a token is bound by. */
  readonly rowProductBytesPerSecond: number;
  /** Of sums and products element by element, from small tensors to large ones. */
  readonly elementwise: readonly Rate[];
  readonly softmaxBytesPerSecond: number;
  /** Of transpositions, slices and their like. */
  readonly movementBytesPerSecond: number;
  /** Of an operator with nothing to do. */
  readonly secondsPerOperator: number;
  /** Of handing one tensor in or out of a run. */
  readonly secondsPerTensor: number;
}

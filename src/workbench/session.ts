/** ONNX Runtime settings of every program that reads a model's weights. */

/**
 * Weights stay in the mapped file and are shared by all programs: packing them would copy each into private memory, for
 * 2–5% of speed. Half-precision weights are widened where they are used: folding would widen them all when the program opens.
 */
export const MAPPED_WEIGHTS: Readonly<Record<string, string>> = {
  "session.disable_prepacking": "1",
  "optimization.constant_folding_max_output_size_in_bytes": "1048576",
};

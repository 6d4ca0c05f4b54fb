/** ONNX Runtime settings of every program that reads a model's weights. */

/**
 * Weights stay in the mapped file and are shared by all programs: packing them would copy each into private memory, for
 * a few percent of speed (a training step may choose that: `LearnerOptions.packWeights`).
 */
export const MAPPED_WEIGHTS: Readonly<Record<string, string>> = {
  "session.disable_prepacking": "1",
};

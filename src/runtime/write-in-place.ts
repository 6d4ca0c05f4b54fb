/**
 * Lets ONNX Runtime write outputs into memory we own, without the copy its Node binding makes of every output.
 *
 * Version 1.30 of the binding writes a pre-allocated output where it should, and then copies all of it once more into a
 * new array (1.4 ms and as much garbage per MB, measured). An output that is no tensor makes it give up between
 * the two: the run is done, nothing is copied. So an empty sequence is added as the first output of every graph, and
 * asking for it ends a run with a known error. A binding that stops making the copy would just return normally.
 */

/** Name of the added output; no graph of ours has a name with this character. */
export const END_OF_RUN: string = "end-of-run";

/** How the binding refuses an output that is no tensor, after the run. */
const REFUSAL = "Non tensor type is temporarily not supported.";

/** Whether an error only says that the run got as far as returning its outputs. */
export function isEndOfRun(error: unknown): boolean {
  return error instanceof Error && error.message === REFUSAL;
}

/**
 * The same model with the output `END_OF_RUN` before all others.
 * Protocol buffers merge a message field that occurs twice, so it is enough to put a second small graph in front.
 */
export function withEndOfRun(model: Uint8Array): Uint8Array<ArrayBuffer> {
  const floatTensor = field(1, field(1, [8, 1])); // TypeProto.tensor_type { elem_type = FLOAT }, wrapped as Sequence.elem_type
  const sequenceType = field(4, floatTensor); // TypeProto.sequence_type
  const node = [...field(2, text(END_OF_RUN)), ...field(4, text("SequenceEmpty"))]; // NodeProto.output, op_type
  const output = [...field(1, text(END_OF_RUN)), ...field(2, sequenceType)]; // ValueInfoProto.name, type
  const graph = field(7, [...field(1, node), ...field(12, output)]); // ModelProto.graph { node, output }
  const joined = new Uint8Array(graph.length + model.length);
  joined.set(graph);
  joined.set(model, graph.length);
  return joined;
}

const LENGTH_DELIMITED = 2;

function field(id: number, content: readonly number[]): number[] {
  return [(id << 3) | LENGTH_DELIMITED, content.length, ...content]; // every length here is below 128: one byte
}

function text(string: string): number[] {
  return [...new TextEncoder().encode(string)];
}

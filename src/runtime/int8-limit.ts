/** Finds out which int8 codes this machine multiplies rightly. */
import { type HostTensor, floats } from "../core/dtype.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import type { Engine } from "./engine.ts";

const [ROWS, DEPTH, COLUMNS] = [16, 64, 32];
const [LARGEST, REDUCED] = [127, 63];

/**
 * The largest code whose products with bytes come out exactly: 127, or 63 where the processor lacks VNNI. AVX2 adds two
 * products of a byte and a code in 16 bits: 2 · 255 · 127 does not fit there and is cut off without a word, 2 · 255 · 63 does.
 */
export async function largestInt8Code(engine: Engine): Promise<number> {
  const bytes = (data: Int8Array | Uint8Array | Float32Array): { kind: "bytes"; bytes: Uint8Array } => ({ kind: "bytes", bytes: new Uint8Array(data.buffer) });
  const program = await engine.open(
    encodeModel({
      opset: 23,
      graphName: "int8",
      nodes: [
        { operator: "QuantizeLinear", inputs: ["x", "one", "zero"], outputs: ["bytes"] },
        { operator: "MatMulIntegerToFloat", domain: "com.microsoft", inputs: ["bytes", "codes", "one", "scales", "zero"], outputs: ["y"] },
      ],
      initializers: [
        { name: "one", type: "float32", dims: [], content: bytes(Float32Array.of(1)) },
        { name: "zero", type: "uint8", dims: [], content: bytes(Uint8Array.of(0)) },
        { name: "codes", type: "int8", dims: [DEPTH, COLUMNS], content: bytes(new Int8Array(DEPTH * COLUMNS).fill(LARGEST)) },
        { name: "scales", type: "float32", dims: [COLUMNS], content: bytes(new Float32Array(COLUMNS).fill(1)) },
      ],
      inputs: [{ name: "x", type: "float32", dims: [ROWS, DEPTH] }],
      outputs: [{ name: "y", type: "float32", dims: [ROWS, COLUMNS] }],
    }),
  );
  try {
    const { y } = await program.run({ x: floats([ROWS, DEPTH], new Float32Array(ROWS * DEPTH).fill(255)) }, { y: "host" });
    return (y as HostTensor).data.every((value) => value === DEPTH * 255 * LARGEST) ? LARGEST : REDUCED;
  } finally {
    await program.close();
  }
}

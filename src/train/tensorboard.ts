/** TensorBoard's event files: scalars as protocol buffers in TFRecord frames with masked CRC-32C sums. */
import protobuf from "protobufjs/minimal.js";
import type { RecordedEvent } from "./events.ts";

/** The bytes an event file begins with. */
export function fileHeader(time: number): Uint8Array {
  const message = protobuf.Writer.create();
  message.uint32(field(1, 1)).double(time);
  message.uint32(field(3, 2)).string("brain.Event:2");
  return frame(message.finish());
}

/** The bytes of an event's scalars; none for events without figures. */
export function encodeScalars(event: RecordedEvent): Uint8Array {
  const scalars = scalarsOf(event);
  if (scalars.length === 0 || !("step" in event)) return new Uint8Array(0);
  const message = protobuf.Writer.create();
  message.uint32(field(1, 1)).double(event.time);
  message.uint32(field(2, 0)).int64(event.step);
  message.uint32(field(5, 2)).fork();
  for (const [tag, value] of scalars) {
    message.uint32(field(1, 2)).fork();
    message.uint32(field(1, 2)).string(tag);
    message.uint32(field(2, 5)).float(value);
    message.ldelim();
  }
  message.ldelim();
  return frame(message.finish());
}

/** The figures of an event by TensorBoard tag. */
function scalarsOf(event: RecordedEvent): (readonly [tag: string, value: number])[] {
  if (event.type === "evaluation") return [["eval/loss", event.loss]];
  if (event.type !== "step") return [];
  return [
    ["train/loss", event.loss],
    ["train/learning_rate", event.learningRate],
    ["train/grad_norm", event.gradientNorm],
    ["tokens_per_second", event.tokensPerSecond],
  ];
}

/** A protocol buffer field's key. */
function field(number: number, wireType: 0 | 1 | 2 | 5): number {
  return (number << 3) | wireType;
}

/** A TFRecord: length (8 bytes), masked sum of the length (4), data, masked sum of the data (4). */
function frame(data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(bytes.subarray(0, 8)), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return bytes;
}

/** TFRecord's masking, which keeps sums of data that holds sums apart. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** CRC-32C (Castagnoli, reflected polynomial 0x82F63B78). */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

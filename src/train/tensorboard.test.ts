import { describe, expect, test } from "vitest";
import { crc32c, encodeScalars, fileHeader } from "./tensorboard.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("TensorBoard event files", () => {
  test("CRC-32C of the check string (RFC 3720, appendix B.4 uses the same polynomial)", () => {
    expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  });

  test("the bytes are those of TensorBoard's own writer", () => {
    expect(hex(fileHeader(1_700_000_000.5))).toBe(HEADER);
    const event = {
      type: "evaluation",
      step: 300,
      epoch: 1,
      loss: 1.5,
      perplexity: Math.exp(1.5),
      labelledTokens: 4,
      seconds: 1,
      best: true,
      time: 1_700_000_001.25,
    } as const;
    expect(hex(encodeScalars(event))).toBe(SCALAR);
  });

  test("events without figures write nothing", () => {
    expect(encodeScalars({ type: "checkpoint", step: 3, folder: "step-000003", time: 1 })).toHaveLength(0);
  });
});

// Written by tensorboard 2.21.0 (EventFileWriter's record writer) for the same times, step, tag and value.
const HEADER = "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b353110";
const SCALAR = "200000000000000029eda9500900005040fc54d94110ac022a120a100a096576616c2f6c6f7373150000c03fb5e2d5fa";

import { expect, test } from "vitest";
import { bitsPerByte } from "./bits-per-byte.ts";

test("a guess among 256 bytes is 8 bits a byte, however many bytes a token has", () => {
  expect(bitsPerByte(Math.log(256), 10, 10)).toBe(8);
  expect(bitsPerByte(Math.log(256), 5, 10)).toBe(4);
  expect(bitsPerByte(3 * Math.log(256), 5, 15)).toBe(8);
});

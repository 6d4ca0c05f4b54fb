/** Conversions between float32 and the 16-bit floats of checkpoints (IEEE half and bfloat16), on arrays of bits. */

let halfTable: Uint32Array | undefined;

/** float32 bits of each of the 65,536 half-precision numbers, made on first use. */
function floatBitsOfHalf(): Uint32Array {
  if (halfTable !== undefined) return halfTable;
  const table = new Uint32Array(65536);
  const value = new Float32Array(1);
  const bits = new Uint32Array(value.buffer);
  for (let h = 0; h < 65536; h++) {
    const sign = (h & 0x8000) << 16;
    const exponent = (h >>> 10) & 31;
    const mantissa = h & 1023;
    if (exponent === 31) {
      table[h] = sign | 0x7f800000 | (mantissa << 13);
    } else if (exponent > 0) {
      table[h] = sign | ((exponent + 112) << 23) | (mantissa << 13);
    } else {
      value[0] = mantissa * 2 ** -24; // subnormal: exact in float32
      table[h] = sign | bits[0]!;
    }
  }
  halfTable = table;
  return table;
}

/** Half-precision bits → float32, exactly. */
export function floatsFromHalf(bits: Uint16Array, out: Float32Array): void {
  const table = floatBitsOfHalf();
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) words[i] = table[bits[i]!]!;
}

/** bfloat16 bits → float32, exactly: bfloat16 is the upper half of a float32. */
export function floatsFromBfloat(bits: Uint16Array, out: Float32Array): void {
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
}

/** float32 → half-precision bits, rounded to nearest even; beyond 65,519.99 becomes infinity, as in IEEE 754. */
export function halfFromFloats(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = halfBits(words[i]!);
  return out;
}

function halfBits(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // ≥ 65520 rounds to infinity
  if (magnitude >= 0x38800000) {
    // Normal (≥ 2^-14): move the exponent's bias from 127 to 15, then round away 13 bits; a carry may raise the exponent.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  if (magnitude <= 0x33000000) return sign; // ≤ 2^-25: half of the smallest subnormal ties to zero
  const shift = 126 - (magnitude >>> 23); // the unit of a subnormal half is 2^-24
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const quotient = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return sign | (rest > tie || (rest === tie && (quotient & 1) === 1) ? quotient + 1 : quotient);
}

/** float32 → bfloat16 bits, rounded to nearest even. */
export function bfloatFromFloats(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const word = words[i]!;
    if ((word & 0x7fffffff) > 0x7f800000) out[i] = ((word >>> 16) & 0x8000) | 0x7fc0; // NaN
    else out[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}

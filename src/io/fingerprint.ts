/** Fingerprints of a base model's weights, tokenizer and chat template, by which an adapter knows its base. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import type { Checkpoint } from "./checkpoint.ts";
import { fileError } from "./file-error.ts";
import type { SafetensorsFile } from "./safetensors.ts";

const BLOCK_BYTES = 65536;
const BLOCKS = 64;

/**
 * Fingerprint of a checkpoint's weights: SHA-256 over, for each file in the order of names, its size, its header and 64
 * evenly spaced blocks of 64 KiB of its data (all of the data up to 4 MiB). Another model, another precision and weights
 * changed throughout, as by training, give another fingerprint; a change of single bytes in a large file need not.
 */
export async function fingerprintWeights(checkpoint: Checkpoint): Promise<string> {
  const hash = createHash("sha256");
  for (const file of checkpoint.files) {
    hash.update(`${file.bytes}\n`);
    for await (const block of sampledBlocks(file)) hash.update(block);
  }
  return `sha256-sampled:${hash.digest("hex")}`;
}

/** Fingerprint of a text (tokenizer.json as it stands, or a chat template): SHA-256 over its UTF-8 bytes. */
export function fingerprintText(text: string): string {
  return `sha256:${createHash("sha256").update(text, "utf8").digest("hex")}`;
}

async function* sampledBlocks(file: SafetensorsFile): AsyncGenerator<Uint8Array> {
  try {
    const handle = await open(file.realPath, "r");
    try {
      for (const [start, end] of sampledRanges(file)) {
        const block = new Uint8Array(end - start);
        for (let done = 0; done < block.length;) {
          const { bytesRead } = await handle.read(block, done, block.length - done, start + done);
          if (bytesRead === 0) break; // The file shrank since its header was read: the hash differs, as it should.
          done += bytesRead;
        }
        yield block;
      }
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError(error, file.path, "read");
  }
}

function sampledRanges(file: SafetensorsFile): [start: number, end: number][] {
  const data = file.bytes - file.dataOffset;
  const ranges: [number, number][] = [[0, file.dataOffset]];
  if (data <= BLOCKS * BLOCK_BYTES) {
    ranges.push([file.dataOffset, file.bytes]);
  } else {
    for (let i = 0; i < BLOCKS; i++) {
      const start = file.dataOffset + Math.floor((i * (data - BLOCK_BYTES)) / (BLOCKS - 1));
      ranges.push([start, start + BLOCK_BYTES]);
    }
  }
  return ranges;
}

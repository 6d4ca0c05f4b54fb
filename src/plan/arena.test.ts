import { describe, expect, test } from "vitest";
import { Arena } from "./arena.ts";

const MIB = 2 ** 20;

describe("arena", () => {
  test("requests are rounded up to 256 bytes, and only what was handed out counts", () => {
    const arena = new Arena();
    arena.take(1);
    arena.take(257);
    expect(arena.touchedBytes).toBe(256 + 512);
  });

  test("what is given back is used again", () => {
    const arena = new Arena();
    const first = arena.take(1000);
    arena.take(1000);
    arena.give(first);
    arena.take(900);
    expect(arena.touchedBytes).toBe(2048);
  });

  test("neighbours that are free are joined", () => {
    const arena = new Arena();
    const pieces = [arena.take(1024), arena.take(1024), arena.take(1024)] as const;
    arena.take(1024);
    for (const piece of [pieces[0], pieces[2], pieces[1]]) arena.give(piece);
    arena.take(3072);
    expect(arena.touchedBytes).toBe(4096);
  });

  test("a chunk less than twice as large as asked for is handed out whole", () => {
    const arena = new Arena();
    const large = arena.take(4096);
    arena.take(4096);
    arena.give(large);
    arena.take(2304); // takes all 4096
    arena.take(1024); // so this one comes behind
    expect(arena.touchedBytes).toBe(2 * 4096 + 1024);
  });

  test("what does not fit into a region comes in a new one, twice as large or as large as it must be", () => {
    const arena = new Arena();
    arena.take(0.75 * MIB);
    arena.take(0.5 * MIB); // the first region of 1 MiB has no room
    arena.take(9 * MIB);
    expect(arena.touchedBytes).toBe(10.25 * MIB);
  });
});

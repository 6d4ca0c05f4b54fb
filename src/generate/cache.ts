/** The keys and values of the tokens a batch of texts has had so far; they stay on the device between runs. */
import { type HostTensor, floats, integers } from "../core/dtype.ts";
import type { Architecture } from "../models/architecture.ts";
import { decoderFeeds } from "../models/feeds.ts";
import type { Engine, Program, Resident } from "../runtime/engine.ts";

/** What a cache runs on: a program with inputs of `cachedDecoderInputs`, `lastRows`, and the adapter's tensors. */
export interface CachedProgram {
  readonly engine: Engine;
  readonly program: Program;
  readonly architecture: Architecture;
  /** Outputs that become the next run's `past.*` inputs. */
  readonly presentNames: readonly string[];
  readonly adapterFeeds: Readonly<Record<string, HostTensor | Resident>>;
  /** Position of a text's first token. */
  readonly firstPosition: number;
}

/** One cached place: segment 0 is padding, or a token that no longer belongs to the text. */
interface Place {
  readonly token: number;
  readonly position: number;
  segment: 0 | 1;
}

export class KeyValueCache {
  readonly #on: CachedProgram;
  readonly #rows: Place[][];
  #tensors: Readonly<Record<string, HostTensor | Resident>>;

  constructor(on: CachedProgram, rows: number) {
    const { numKeyValueHeads, headDim } = on.architecture;
    this.#on = on;
    this.#rows = Array.from({ length: rows }, () => []);
    const empty = floats([rows, numKeyValueHeads, 0, headDim], new Float32Array(0));
    this.#tensors = Object.fromEntries(on.presentNames.map((name) => [name, empty]));
  }

  /**
   * Appends tokens to every row, padded on the left where a row has fewer, and runs them.
   * @returns the logits after each row's last token, [rows * V].
   */
  async append(tokens: readonly (readonly number[])[]): Promise<Float32Array> {
    const longest = Math.max(...tokens.map((row) => row.length));
    tokens.forEach((row, b) => {
      const places = this.#rows[b]!;
      const next = (places.findLast(({ segment }) => segment === 1)?.position ?? this.#on.firstPosition - 1) + 1;
      for (let t = row.length; t < longest; t++) places.push({ token: 0, position: 0, segment: 0 });
      row.forEach((token, t) => places.push({ token, position: next + t, segment: 1 }));
    });
    const { program, architecture, presentNames, adapterFeeds } = this.#on;
    const B = tokens.length;
    const S = this.#rows[0]!.length;
    const gather = (from: number, value: (place: Place) => number): Int32Array => Int32Array.from(this.#rows.flatMap((row) => row.slice(from).map(value)));
    const newest = S - longest;
    const feeds: Record<string, HostTensor | Resident> = {
      ...adapterFeeds,
      ...decoderFeeds(architecture, {
        rows: B,
        length: longest,
        tokens: gather(newest, ({ token }) => token),
        positions: gather(newest, ({ position }) => position),
        segments: gather(newest, ({ segment }) => segment),
      }),
      keyPositions: integers(
        [B, S],
        gather(0, ({ position }) => position),
      ),
      keySegments: integers(
        [B, S],
        gather(0, ({ segment }) => segment),
      ),
      lastRows: integers(
        [B],
        Array.from({ length: B }, (_, b) => (b + 1) * longest - 1),
      ),
    };
    for (const name of presentNames) feeds[name.replace("present", "past")] = this.#tensors[name]!;
    const used = Object.fromEntries(program.inputNames.map((name) => [name, feeds[name]!]));
    const { logits, ...present } = await program.run(used, { logits: "host", ...Object.fromEntries(presentNames.map((name) => [name, "resident" as const])) });
    await this.#releaseTensors();
    this.#tensors = present;
    return (logits as HostTensor).data as Float32Array;
  }

  /**
   * Goes back to what the text of a one-row cache has in common with `tokens`, so that only the rest must be run: the
   * places behind it are masked. Keeps at least one token to run.
   * @returns how many tokens are kept; 0 where too little of the cache would be of use.
   */
  rewindTo(tokens: readonly number[]): number {
    const places = this.#rows[0]!;
    const text = places.filter(({ segment }) => segment === 1);
    let kept = 0;
    while (kept < Math.min(text.length, tokens.length - 1) && text[kept]!.token === tokens[kept]) kept++;
    if (kept * 2 < places.length) return 0;
    for (const place of text.slice(kept)) place.segment = 0;
    return kept;
  }

  async #releaseTensors(): Promise<void> {
    await this.#on.engine.release(...Object.values(this.#tensors).filter((tensor): tensor is Resident => "id" in tensor));
  }

  /** Frees what is on the device; the cache is of no more use. */
  async release(): Promise<void> {
    await this.#releaseTensors();
    this.#tensors = {};
  }
}

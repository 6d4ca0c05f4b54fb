/** The keys and values of the tokens a batch of texts has had so far; they stay on the device between runs. */
import { type HostTensor, floats, integers } from "../core/dtype.ts";
import type { Architecture } from "../models/architecture.ts";
import { controlledFeeds } from "../models/control-feeds.ts";
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
  /** Virtual tokens in front of every prompt; choosers never see them. */
  readonly before: readonly number[];
  /** Whether the program has the inputs of a controlled stream. */
  readonly controlled: boolean;
}

/** What steers each row of a controlled program. */
export interface Controls {
  /** Tokens of each row's control text. */
  readonly tokens: readonly (readonly number[])[];
  readonly strength: number;
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
  /** The control texts, padded on the left; their places stand before all others in the cache of a controlled stream. */
  readonly #controls: readonly Place[][];
  readonly #strength: number;
  #begun = false;
  #tensors: Readonly<Record<string, HostTensor | Resident>>;

  /** @param controls go in front of the first tokens. */
  constructor(on: CachedProgram, rows: number, controls?: Controls) {
    const { numKeyValueHeads, headDim } = on.architecture;
    this.#on = on;
    this.#rows = Array.from({ length: rows }, () => []);
    this.#controls = leftPadded(Array.from({ length: rows }, (_, b) => controls?.tokens[b] ?? []));
    this.#strength = controls?.strength ?? 1;
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
      ...(this.#on.controlled && this.#controlledFeeds(newest)),
    };
    for (const name of presentNames) feeds[name.replace("present", "past")] = this.#tensors[name]!;
    const used = Object.fromEntries(program.inputNames.map((name) => [name, feeds[name]!]));
    const { logits, ...present } = await program.run(used, { logits: "host", ...Object.fromEntries(presentNames.map((name) => [name, "resident" as const])) });
    await this.#releaseTensors();
    this.#begun = true;
    this.#tensors = present;
    return (logits as HostTensor).data as Float32Array;
  }

  /** Feeds of the stream in which the control texts stand before the tokens, of which those from `newest` on are new. */
  #controlledFeeds(newest: number): Record<string, HostTensor> {
    const rows = this.#rows.map((places, b) => {
      const control = this.#controls[b]!;
      const offset = control.filter(({ segment }) => segment === 1).length;
      return { control, text: places.map((place) => (place.segment === 0 ? place : { ...place, position: place.position + offset })) };
    });
    const flat = (placesOf: (row: (typeof rows)[number]) => readonly Place[], value: (place: Place) => number): Int32Array =>
      Int32Array.from(rows.flatMap((row) => placesOf(row).map(value)));
    const position = (place: Place): number => place.position;
    const segment = (place: Place): number => place.segment;
    // The control is read once, together with the first tokens; later runs find it in the cache.
    const control = (row: (typeof rows)[number]): readonly Place[] => (this.#begun ? [] : row.control);
    const all = (row: (typeof rows)[number]): readonly Place[] => [...row.control, ...row.text];
    const B = rows.length;
    const length = this.#controls[0]!.length;
    const keys = [B, length + this.#rows[0]!.length] as const;
    return {
      ...controlledFeeds(this.#on.architecture, {
        rows: B,
        length: this.#begun ? 0 : length,
        tokens: flat(control, ({ token }) => token),
        segments: flat(control, segment),
        positions: flat((row) => [...control(row), ...row.text.slice(newest)], position),
        strength: this.#strength,
      }),
      "control.keyPositions": integers(keys, flat(all, position)),
      "control.keySegments": integers(keys, flat(all, segment)),
    };
  }

  /**
   * Goes back to what the text of a one-row cache has in common with `tokens`, so that only the rest must be run: the
   * places behind it are masked. Keeps at least one token to run.
   * @returns how many tokens are kept; 0 where too little of the cache would be of use, or the text was steered otherwise.
   */
  rewindTo(tokens: readonly number[], controls?: Controls): number {
    const control = this.#controls[0]!.map(({ token }) => token);
    if (this.#strength !== (controls?.strength ?? 1) || control.join() !== (controls?.tokens[0] ?? []).join()) return 0;
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

function leftPadded(rows: readonly (readonly number[])[]): Place[][] {
  const longest = Math.max(...rows.map((row) => row.length));
  return rows.map((row) => [
    ...Array.from({ length: longest - row.length }, (): Place => ({ token: 0, position: 0, segment: 0 })),
    ...row.map((token, position): Place => ({ token, position, segment: 1 })),
  ]);
}

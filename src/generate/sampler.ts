/** Chooses the next token from the logits: greedily, or by chance after the filters of `transformers`, in its order. */
import { GiantError, invariant } from "../base/errors.ts";
import { Random } from "../base/random.ts";
import { Candidates } from "./candidates.ts";
import { forbidRepeatedNgrams, penaliseRepetition } from "./repetition.ts";

export interface SamplingOptions {
  /** Always the most probable token; the filters then do nothing, the penalties count. */
  readonly greedy?: boolean | undefined;
  /** Divides the logits; above 1 is more varied. 0 is greedy. Default 1. */
  readonly temperature?: number | undefined;
  /** Only the k most probable tokens; 0 is off. */
  readonly topK?: number | undefined;
  /** Only the most probable tokens that together have this probability (Holtzman 2019, 1904.09751); 1 is off. */
  readonly topP?: number | undefined;
  /** Only tokens at least this probable, relative to the most probable one (Nguyen 2024, 2407.01082); 0 is off. */
  readonly minP?: number | undefined;
  /** Only tokens about as surprising as expected, up to this probability (Meister 2022, 2202.00666); 1 is off. */
  readonly typicalP?: number | undefined;
  /** Only tokens at least this probable (Hewitt 2022, 2210.15191); 0 is off. */
  readonly epsilonCutoff?: number | undefined;
  /** As `epsilonCutoff`, but less strict where the entropy is high (the same paper); 0 is off. */
  readonly etaCutoff?: number | undefined;
  /** Makes tokens of the prompt and the answer so far less likely; 1 is off. */
  readonly repetitionPenalty?: number | undefined;
  /** No n-gram of this size twice; 0 is off. */
  readonly noRepeatNgram?: number | undefined;
  /** The same seed, model and prompt give the same text on the same machine. Default 0. */
  readonly seed?: number | undefined;
}

export interface Sampler {
  /** The next token; `history` is the prompt and what was generated so far. */
  next(logits: Float32Array, history: readonly number[]): number;
  /**
   * The tokens that may come next after penalties and filters, with their scores and probabilities;
   * valid until the next call.
   */
  candidates(logits: Float32Array, history: readonly number[]): Candidates;
}

/** Makes a sampler; throws GiantError "usage" for a value outside its range. */
export function createSampler(options: SamplingOptions): Sampler {
  checkOptions(options);
  const random = new Random(options.seed ?? 0);
  const penalty = options.repetitionPenalty ?? 1;
  const ngram = options.noRepeatNgram ?? 0;
  const greedy = options.greedy === true || options.temperature === 0;
  let set: Candidates | undefined;
  let seen: Uint8Array | undefined;

  function load(logits: Float32Array, history: readonly number[]): Candidates {
    if (set?.ids.length !== logits.length) {
      set = new Candidates(logits.length);
      seen = new Uint8Array(logits.length);
    }
    set.load(logits);
    if (penalty !== 1) penaliseRepetition(set.scores, history, penalty, seen!);
    if (ngram > 0) forbidRepeatedNgrams(set.scores, history, ngram);
    set.dropImpossible();
    return set;
  }

  function candidates(logits: Float32Array, history: readonly number[]): Candidates {
    const tokens = load(logits, history);
    if (!greedy) narrow(tokens, options);
    tokens.softmax();
    return tokens;
  }

  return {
    candidates,
    next(logits, history) {
      if (greedy) {
        const tokens = load(logits, history);
        return tokens.ids[indexOfLargest(tokens.scores, tokens.count)]!;
      }
      const tokens = candidates(logits, history);
      return tokens.ids[draw(tokens.probabilities, tokens.count, random.uniform())]!;
    },
  };
}

/** The filters of `transformers`' `generate`, in its order. */
function narrow(tokens: Candidates, options: SamplingOptions): void {
  const { temperature = 1, topK = 0, topP = 1, minP = 0, typicalP = 1, epsilonCutoff = 0, etaCutoff = 0 } = options;
  if (temperature !== 1) tokens.divide(temperature);
  if (topK > 0) tokens.keepLargest(topK);
  if (topP < 1) {
    tokens.softmax();
    tokens.keepNucleus(topP);
  }
  if (minP > 0) tokens.keepProbable(minP * tokens.softmax());
  if (typicalP < 1) {
    tokens.softmax();
    tokens.keepTypical(typicalP);
  }
  // The two cutoffs always leave the most probable token.
  if (epsilonCutoff > 0) tokens.keepProbable(Math.min(epsilonCutoff, tokens.softmax()));
  if (etaCutoff > 0) {
    const largest = tokens.softmax();
    const eta = Math.min(etaCutoff, Math.sqrt(etaCutoff) * Math.exp(-tokens.entropyNats()));
    tokens.keepProbable(Math.min(eta, largest));
  }
}

function indexOfLargest(scores: Float32Array, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) if (scores[i]! > scores[best]!) best = i;
  return best;
}

/** The index at which the running sum passes `u` in [0, 1). */
function draw(probabilities: Float64Array, count: number, u: number): number {
  let sum = 0;
  let last = 0;
  for (let i = 0; i < count; i++) {
    const p = probabilities[i]!;
    if (p === 0) continue;
    sum += p;
    last = i;
    if (u < sum) return i;
  }
  // Rounding can leave the sum a little below 1.
  invariant(count > 0, "nothing to draw from");
  return last;
}

function checkOptions(options: SamplingOptions): void {
  check("temperature", options.temperature, (x) => x >= 0, "a number of at least 0");
  check("topK", options.topK, (x) => x >= 0 && Number.isInteger(x), "a whole number of at least 0");
  check("topP", options.topP, (x) => x > 0 && x <= 1, "a number above 0 and at most 1");
  check("minP", options.minP, (x) => x >= 0 && x <= 1, "a number from 0 to 1");
  check("typicalP", options.typicalP, (x) => x > 0 && x <= 1, "a number above 0 and at most 1");
  check("epsilonCutoff", options.epsilonCutoff, (x) => x >= 0 && x < 1, "a number of at least 0 and below 1");
  check("etaCutoff", options.etaCutoff, (x) => x >= 0 && x < 1, "a number of at least 0 and below 1");
  check("repetitionPenalty", options.repetitionPenalty, (x) => x > 0, "a number above 0");
  check("noRepeatNgram", options.noRepeatNgram, (x) => x >= 0 && Number.isInteger(x), "a whole number of at least 0");
}

function check(name: string, value: number | undefined, fits: (value: number) => boolean, needed: string): void {
  if (value === undefined || (Number.isFinite(value) && fits(value))) return;
  throw new GiantError("usage", `sampling: ${name} is ${value}, needed ${needed}`, { facts: { name, value } });
}

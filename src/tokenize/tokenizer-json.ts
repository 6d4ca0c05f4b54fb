/** Reads `tokenizer.json` into a checked shape: every broken or unsupported field is named before the library sees it. */
import { GiantError } from "../base/errors.ts";

export type JsonObject = { readonly [key: string]: unknown };

/** A token that is matched as it stands, before the text is normalised and split. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly normalized: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** One step (normaliser, pre-tokeniser, post-processor or decoder) of `tokenizer.json`. */
export type Step = JsonObject & { readonly type: string };

/** The parts of `tokenizer.json` that we use; `truncation` and `padding` are left out, as `transformers` overrides them. */
export interface TokenizerFile {
  readonly added_tokens: readonly AddedToken[];
  readonly normalizer: Step | null;
  readonly pre_tokenizer: Step | null;
  readonly post_processor: Step | null;
  readonly decoder: Step | null;
  readonly model: JsonObject & { readonly type: string };
}

type StepKind = "normalizer" | "pre_tokenizer" | "post_processor" | "decoder";

const STEP_TYPES: Readonly<Record<StepKind, readonly string[]>> = {
  normalizer: ["BertNormalizer", "Precompiled", "Sequence", "Replace", "NFC", "NFD", "NFKC", "NFKD", "Strip", "StripAccents", "Lowercase", "Prepend"],
  pre_tokenizer: ["BertPreTokenizer", "Sequence", "Whitespace", "WhitespaceSplit", "Metaspace", "ByteLevel", "Split", "Punctuation", "Digits", "FixedLength"],
  post_processor: ["TemplateProcessing", "ByteLevel", "BertProcessing", "RobertaProcessing", "Sequence"],
  decoder: ["ByteLevel", "WordPiece", "Metaspace", "BPEDecoder", "CTC", "Sequence", "Replace", "Fuse", "Strip", "ByteFallback"],
};

/** Under which key a `Sequence` of each kind keeps its steps. */
const SEQUENCE_KEYS: Readonly<Record<StepKind, string>> = {
  normalizer: "normalizers",
  pre_tokenizer: "pretokenizers",
  post_processor: "processors",
  decoder: "decoders",
};

const SPLIT_BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"];

/** True for a plain JSON object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as it is shown in a message: short, and on one line. */
export function shown(value: unknown): string {
  if (value === undefined) return "missing";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Throws the one error that a broken tokenizer file gives: where, the field, what was found, what was needed. */
export function refuse(where: string, field: string, found: unknown, needed: string): never {
  throw new GiantError("tokenizer", `${where}: ${field} is ${shown(found)}, needed ${needed}`, {
    hint: "Take the tokenizer files from the model's own folder, or save them again with a recent version of transformers.",
    facts: { where, field },
  });
}

/** Checks parsed `tokenizer.json`; throws GiantError "tokenizer" naming the first field that cannot be used. */
export function readTokenizerFile(value: unknown, where: string): TokenizerFile {
  if (!isObject(value)) refuse(where, "tokenizer.json", value, "an object");
  return {
    added_tokens: readAddedTokens(value["added_tokens"], where),
    normalizer: readStep(value["normalizer"], "normalizer", "normalizer", where),
    pre_tokenizer: readStep(value["pre_tokenizer"], "pre_tokenizer", "pre_tokenizer", where),
    post_processor: readStep(value["post_processor"], "post_processor", "post_processor", where),
    decoder: readStep(value["decoder"], "decoder", "decoder", where),
    model: readModel(value["model"], where),
  };
}

/** Calls `visit` for a step and for every step inside its sequences. */
export function visitSteps(step: Step | null, visit: (step: Step) => void): void {
  if (step === null) return;
  visit(step);
  for (const key of Object.values(SEQUENCE_KEYS)) {
    const inner = step[key];
    if (step.type === "Sequence" && Array.isArray(inner)) for (const each of inner) visitSteps(each as Step, visit);
  }
}

/** Replaces a step, and every step inside its sequences, by what `change` makes of it. */
export function mapSteps(step: Step | null, change: (step: Step) => Step): Step | null {
  if (step === null) return null;
  if (step.type !== "Sequence") return change(step);
  const mapped: Record<string, unknown> = { ...step };
  for (const key of Object.values(SEQUENCE_KEYS)) {
    const inner = step[key];
    if (Array.isArray(inner)) mapped[key] = inner.map((each) => mapSteps(each as Step, change));
  }
  return mapped as Step;
}

function readStep(value: unknown, kind: StepKind, field: string, where: string): Step | null {
  if (value === null || value === undefined) return null;
  if (!isObject(value)) refuse(where, `tokenizer.json: ${field}`, value, "an object or null");
  const type = value["type"];
  if (typeof type !== "string" || !STEP_TYPES[kind].includes(type)) {
    refuse(where, `tokenizer.json: ${field}.type`, type, `one of ${STEP_TYPES[kind].join(", ")}`);
  }
  if (type === "Sequence") {
    const key = SEQUENCE_KEYS[kind];
    const inner = value[key];
    if (!Array.isArray(inner)) refuse(where, `tokenizer.json: ${field}.${key}`, inner, "an array");
    inner.forEach((each: unknown, i) => {
      if (readStep(each, kind, `${field}.${key}[${i}]`, where) === null) {
        refuse(where, `tokenizer.json: ${field}.${key}[${i}]`, each, "an object");
      }
    });
  }
  if (type === "Split" || type === "Replace") {
    const pattern = value["pattern"];
    const known = isObject(pattern) && (typeof pattern["Regex"] === "string" || typeof pattern["String"] === "string");
    if (!known) refuse(where, `tokenizer.json: ${field}.pattern`, pattern, 'an object with "Regex" or "String"');
  }
  if (type === "Split" || type === "Punctuation") {
    const behavior = value["behavior"] ?? "Isolated";
    if (typeof behavior !== "string" || !SPLIT_BEHAVIORS.includes(behavior)) {
      refuse(where, `tokenizer.json: ${field}.behavior`, behavior, `one of ${SPLIT_BEHAVIORS.join(", ")}`);
    }
  }
  return value as Step;
}

function readAddedTokens(value: unknown, where: string): AddedToken[] {
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) refuse(where, "tokenizer.json: added_tokens", value, "an array");
  return value.map((each: unknown, i) => readAddedToken(each, undefined, `tokenizer.json: added_tokens[${i}]`, where));
}

/** Reads one added token; `id` stands in where the object itself has none (as in `added_tokens_decoder`). */
export function readAddedToken(value: unknown, id: number | undefined, field: string, where: string): AddedToken {
  if (!isObject(value)) refuse(where, field, value, "an object");
  const content = value["content"];
  if (typeof content !== "string" || content === "") refuse(where, `${field}.content`, content, "a non-empty string");
  const own = id ?? value["id"];
  if (!isId(own)) refuse(where, `${field}.id`, own, "a whole number of at least 0");
  if (value["single_word"] === true) refuse(where, `${field}.single_word`, true, "false (whole-word tokens are not supported)");
  const special = value["special"] === true;
  return {
    id: own,
    content,
    special,
    normalized: typeof value["normalized"] === "boolean" ? value["normalized"] : !special,
    lstrip: value["lstrip"] === true,
    rstrip: value["rstrip"] === true,
  };
}

function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function readModel(value: unknown, where: string): TokenizerFile["model"] {
  if (!isObject(value)) refuse(where, "tokenizer.json: model", value, "an object");
  // Old files name no type; the library tells the kinds apart by their fields, and so do we.
  const type: unknown = value["type"] ?? (Array.isArray(value["vocab"]) ? "Unigram" : "merges" in value ? "BPE" : "WordPiece");
  switch (type) {
    case "BPE":
      checkMerges(value["merges"], checkVocabulary(value["vocab"], where), where);
      if (typeof value["continuing_subword_prefix"] === "string" && value["continuing_subword_prefix"] !== "") {
        refuse(where, "tokenizer.json: model.continuing_subword_prefix", value["continuing_subword_prefix"], "null for BPE");
      }
      break;
    case "WordPiece":
    case "WordLevel":
      checkVocabulary(value["vocab"], where);
      break;
    case "Unigram":
      checkPieces(value, where);
      break;
    default:
      refuse(where, "tokenizer.json: model.type", type, "one of BPE, Unigram, WordPiece, WordLevel");
  }
  return { ...value, type: type as string };
}

function checkVocabulary(value: unknown, where: string): JsonObject {
  if (!isObject(value)) refuse(where, "tokenizer.json: model.vocab", value, "an object from token to id");
  let size = 0;
  for (const token of Object.keys(value)) {
    if (!isId(value[token])) {
      refuse(where, `tokenizer.json: model.vocab[${JSON.stringify(token)}]`, value[token], "a whole number of at least 0");
    }
    size++;
  }
  if (size === 0) refuse(where, "tokenizer.json: model.vocab", value, "at least one token");
  return value;
}

function checkMerges(value: unknown, vocabulary: JsonObject, where: string): void {
  if (!Array.isArray(value)) refuse(where, "tokenizer.json: model.merges", value, "an array");
  value.forEach((merge: unknown, i) => {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    const [left, right] = Array.isArray(pair) && pair.length === 2 ? (pair as unknown[]) : [];
    if (typeof left !== "string" || typeof right !== "string") {
      refuse(where, `tokenizer.json: model.merges[${i}]`, merge, 'two tokens ("a b" or ["a", "b"])');
    }
    for (const token of [left, right, left + right]) {
      if (!Object.hasOwn(vocabulary, token)) {
        refuse(where, `tokenizer.json: model.merges[${i}]`, merge, `tokens of model.vocab, which lacks ${JSON.stringify(token)}`);
      }
    }
  });
}

function checkPieces(model: JsonObject, where: string): void {
  const pieces = model["vocab"];
  if (!Array.isArray(pieces) || pieces.length === 0) {
    refuse(where, "tokenizer.json: model.vocab", pieces, "a non-empty array of [piece, score]");
  }
  pieces.forEach((piece: unknown, i) => {
    if (!Array.isArray(piece) || typeof piece[0] !== "string" || typeof piece[1] !== "number") {
      refuse(where, `tokenizer.json: model.vocab[${i}]`, piece, "[piece, score]");
    }
  });
  const unknown = model["unk_id"];
  if (!isId(unknown) || unknown >= pieces.length) {
    refuse(where, "tokenizer.json: model.unk_id", unknown, `a whole number below ${pieces.length}`);
  }
}

/** Writes the files of a byte-level tokenizer as Hugging Face has them: tokenizer.json and tokenizer_config.json. */
import type { BpeVocabulary } from "./bpe-training.ts";
import { BYTE_LEVEL, preTokenizer } from "./byte-level.ts";

/** Ends a document, and begins one; pads. */
export const END_OF_TEXT = "<|endoftext|>";
const MESSAGE_START = "<|im_start|>";
const MESSAGE_END = "<|im_end|>";

/** The special tokens of a model trained from nothing: plain text needs the first, conversations the others. */
export const BASE_SPECIAL_TOKENS: readonly string[] = [END_OF_TEXT, MESSAGE_START, MESSAGE_END];

/** Each message between marks. */
const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

export interface ByteLevelParts {
  /** Ids of all tokens but the special ones, which may be in it. */
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: readonly (readonly [left: string, right: string])[];
  readonly specialTokens: readonly { readonly id: number; readonly content: string }[];
  readonly splitDigits?: boolean;
}

/** tokenizer.json of a byte-level BPE. */
export function byteLevelJson(parts: ByteLevelParts): Record<string, unknown> {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: parts.specialTokens.map(({ id, content }) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: preTokenizer(parts.splitDigits ?? false),
    post_processor: BYTE_LEVEL,
    decoder: BYTE_LEVEL,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: parts.vocab,
      merges: parts.merges,
    },
  };
}

/** tokenizer.json of a trained vocabulary. */
export function tokenizerJson(vocabulary: BpeVocabulary): Record<string, unknown> {
  return byteLevelJson({
    vocab: Object.fromEntries(vocabulary.tokens.map((token, id) => [token, id])),
    merges: vocabulary.merges,
    specialTokens: vocabulary.specialTokens.map((content, id) => ({ id, content })),
    splitDigits: vocabulary.splitDigits,
  });
}

/**
 * A conversation as a text that a model may have read before it was taught to answer: names, colons and line ends, and
 * after an answer the token that ends every document. It asks for no token that plain text never showed.
 */
const DIALOGUE =
  "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token + '\\n' }}" +
  "{% else %}{{ message['role'] | capitalize + ': ' + message['content'] + '\\n' }}{% endif %}{% endfor %}" +
  "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

const TEMPLATES: Readonly<Record<"chatml" | "dialogue", string>> = { chatml: CHATML, dialogue: DIALOGUE };

/**
 * tokenizer_config.json for the special tokens `BASE_SPECIAL_TOKENS`.
 * @param options.maxLength the model's context, in tokens.
 * @param options.chat adds a chat template; under ChatML the end of a message ends the text, in a dialogue the end of text.
 */
export function tokenizerConfig(options: { readonly maxLength: number; readonly chat?: "chatml" | "dialogue" }): Record<string, unknown> {
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: END_OF_TEXT,
    eos_token: options.chat === "chatml" ? MESSAGE_END : END_OF_TEXT,
    pad_token: END_OF_TEXT,
    model_max_length: options.maxLength,
    clean_up_tokenization_spaces: false,
    ...(options.chat && { chat_template: TEMPLATES[options.chat] }),
  };
}

import { describe, expect, test } from "vitest";
import { goldenFolder, readJson } from "../../test/golden.ts";
import { createTokenizer } from "../tokenize/tokenizer.ts";
import type { Tokenizer } from "../tokenize/tokenizer.ts";
import { encodeQuestion, exampleOf } from "./example.ts";
import type { Example, TrainOn } from "./example.ts";
import { makeExamples, requireExamples } from "./examples.ts";
import { questionOf } from "./record.ts";
import type { RecordContent, TrainingRecord } from "./record.ts";

function tokenizerNamed(name: string, config: object = {}, chatTemplateJinja?: string): Tokenizer {
  const tokenizerJson = readJson(goldenFolder(), "tokenizers", name, "tokenizer.json");
  return createTokenizer({ tokenizerJson, tokenizerConfig: config, chatTemplateJinja, where: name });
}

const gpt2 = tokenizerNamed("gpt2_bytelevel_bpe", { bos_token: "<|endoftext|>", eos_token: "<|endoftext|>" });
const llama2 = tokenizerNamed("llama2_sentencepiece_bpe", { tokenizer_class: "LlamaTokenizer", bos_token: "<s>", eos_token: "</s>" });
const chatml =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const templated = tokenizerNamed("qwen2_bytelevel_bpe", { eos_token: "<|im_end|>", additional_special_tokens: ["<|im_start|>", "<|im_end|>"] }, chatml);

const record = (content: RecordContent): TrainingRecord => ({ ...content, source: "x.jsonl", line: 3 });
const shown = (tokenizer: Tokenizer, ids: Iterable<number>): string => tokenizer.decode([...ids], { skipSpecialTokens: false });
const trained = ({ labels }: Example): Int32Array => labels.filter((label) => label !== -100);
const conversation: RecordContent = {
  kind: "messages",
  messages: [
    { role: "user", content: "Hello" },
    { role: "assistant", content: "Hi there" },
    { role: "user", content: "Bye" },
    { role: "assistant", content: "Good bye" },
  ],
};
const task: RecordContent = {
  kind: "messages",
  messages: [
    { role: "user", content: "Add.\n\n1 2" },
    { role: "assistant", content: "3" },
  ],
  task: { instruction: "Add.", input: "1 2" },
};

describe("one example", () => {
  test("with a chat template the answers and the ends of their turns are trained", () => {
    const example = exampleOf(record(conversation), templated, "answers");
    expect(shown(templated, trained(example))).toBe("Hi there<|im_end|>Good bye<|im_end|>");
    expect([example.source, example.line]).toEqual(["x.jsonl", 3]);
  });

  test("a template that ends no turn gets an end of text", () => {
    const bare = tokenizerNamed(
      "qwen2_bytelevel_bpe",
      { eos_token: "<|im_end|>", additional_special_tokens: ["<|im_end|>"] },
      "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if not loop.last %}\n{% endif %}{% endfor %}{% if add_generation_prompt %}\nassistant: {% endif %}",
    );
    const example = exampleOf(
      record({
        kind: "messages",
        messages: [
          { role: "user", content: "Hello" },
          { role: "assistant", content: "Hi" },
        ],
      }),
      bare,
      "answers",
    );
    expect(shown(bare, example.tokens).endsWith("Hi<|im_end|>")).toBe(true);
    expect(example.labels.at(-1)).toBe(bare.eosId);
  });

  for (const [name, tokenizer, begin, end] of [
    ["gpt2", gpt2, "", "<|endoftext|>"],
    ["llama2", llama2, "<s>", "</s>"],
  ] as const) {
    test(`${name}: without a template, Alpaca's prompt as published`, () => {
      const example = exampleOf(record(task), tokenizer, "answers");
      expect(shown(tokenizer, example.tokens).replace(/^<s> /, "<s>")).toBe(
        `${begin}Below is an instruction that describes a task, paired with an input that provides further context. ` +
          `Write a response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n3${end}`,
      );
      expect(shown(tokenizer, trained(example))).toBe(`3${end}`);
    });

    test(`${name}: without a template, several turns, each answer ended`, () => {
      const example = exampleOf(record(conversation), tokenizer, "answers");
      expect(shown(tokenizer, trained(example))).toContain(`Hi there${end}`);
      expect(shown(tokenizer, trained(example)).endsWith(`Good bye${end}`)).toBe(true);
      expect([...trained(example)].filter((id) => id === tokenizer.eosId)).toHaveLength(2);
    });

    test(`${name}: prompt and completion are the ids of the joined text`, () => {
      const example = exampleOf(record({ kind: "completion", prompt: "The sun is", completion: " warm" }), tokenizer, "answers");
      expect([...example.tokens]).toEqual([...tokenizer.encode("The sun is warm", { addSpecialTokens: true }), tokenizer.eosId]);
      expect(shown(tokenizer, trained(example)).trim()).toBe(`warm${end}`);
    });

    test(`${name}: a border inside a token belongs to the answer, and nothing of the answer is lost`, () => {
      const example = exampleOf(record({ kind: "completion", prompt: "The sun is ", completion: "warm" }), tokenizer, "answers");
      expect([...example.tokens].slice(0, -1)).toEqual(tokenizer.encode("The sun is warm", { addSpecialTokens: true }));
      expect(shown(tokenizer, trained(example)).trim().endsWith(`warm${end}`)).toBe(true);
    });

    test(`${name}: text is trained on but for its first token, and ends unless it goes on`, () => {
      const text: RecordContent = { kind: "text", text: "Once upon a time" };
      const example = exampleOf(record(text), tokenizer, "answers");
      expect([...example.labels]).toEqual([-100, ...example.tokens.slice(1)]);
      expect(example.tokens.at(-1)).toBe(tokenizer.eosId);
      expect(exampleOf(record({ ...text, goesOn: true }), tokenizer, "answers").tokens).toEqual(example.tokens.slice(0, -1));
    });
  }

  test("BOS stands once and EOS once, also when the tokenizer writes both by itself", () => {
    const both = tokenizerNamed("llama2_sentencepiece_bpe", { add_bos_token: true, add_eos_token: true, bos_token: "<s>", eos_token: "</s>" });
    for (const content of [task, conversation, { kind: "completion", prompt: "a b", completion: " c" }, { kind: "text", text: "a" }] as RecordContent[]) {
      const { tokens } = exampleOf(record(content), both, "answers");
      expect([...tokens].filter((id) => id === both.bosId)).toHaveLength(1);
      expect([...tokens].filter((id) => id === both.eosId)).toHaveLength(content === conversation ? 2 : 1);
    }
  });

  test("trained on all, every token but the first counts", () => {
    const example = exampleOf(record(conversation), templated, "all");
    expect([...example.labels]).toEqual([-100, ...example.tokens.slice(1)]);
  });

  test("a question is encoded as its example begins", () => {
    for (const tokenizer of [gpt2, llama2, templated]) {
      for (const content of [task, conversation, { kind: "completion", prompt: "The sun is", completion: " warm" }] as RecordContent[]) {
        const { question, answer } = questionOf(content)!;
        const ids = encodeQuestion(question, tokenizer);
        const example = exampleOf(record(content), tokenizer, "answers");
        expect(Array.from(example.tokens.slice(0, ids.length))).toEqual(ids);
        expect(shown(tokenizer, example.tokens.slice(ids.length))).toContain(answer.trim());
      }
    }
    expect(questionOf({ kind: "text", text: "a" })).toBeUndefined();
  });

  test("what a template refuses is named by line", () => {
    const strict = tokenizerNamed("qwen2_bytelevel_bpe", {}, "{{ raise_exception('no system, please') }}");
    expect(() => exampleOf(record(conversation), strict, "answers")).toThrow(/^x\.jsonl:3: .*no system, please/);
  });
});

describe("a set of examples", () => {
  const options = { maxLength: 24, trainOn: "answers" as TrainOn };
  const long: RecordContent = { kind: "completion", prompt: "word ".repeat(40).trim(), completion: " end" };
  const longAnswer: RecordContent = { kind: "completion", prompt: "A", completion: " word".repeat(40) };
  const short: RecordContent = { kind: "completion", prompt: "The sun is", completion: " warm" };
  const records = [long, longAnswer, short].map(record);

  test("drop", () => {
    const { examples, summary } = makeExamples(records, gpt2, { ...options, longExamples: "drop" });
    expect(summary).toMatchObject({ read: 3, kept: 1, tooLong: 2, truncated: 0, withoutAnswer: 0, tokens: examples[0]!.tokens.length });
    expect(summary.trainedTokens).toBe(trained(examples[0]!).length);
  });

  test("truncate keeps the beginning; what has no answer left is counted", () => {
    const { examples, summary } = makeExamples(records, gpt2, { ...options, longExamples: "truncate" });
    expect(summary).toMatchObject({ read: 3, kept: 2, tooLong: 0, truncated: 2, withoutAnswer: 1 });
    expect(examples[0]!.tokens).toEqual(exampleOf(records[1]!, gpt2, "answers").tokens.slice(0, 24));
  });

  test("error names the lines", () => {
    expect(() => makeExamples(records, gpt2, { ...options, longExamples: "error" })).toThrow(
      /x\.jsonl: 2 problems:\n {2}x\.jsonl:3: the example has \d+ tokens, but at most 24 were allowed/,
    );
  });

  test("long text becomes windows: every token is trained on exactly once", () => {
    const text = record({ kind: "text", text: "One word and another. ".repeat(30) });
    const whole = exampleOf(text, gpt2, "answers");
    for (const maxLength of [2, 7, 24, whole.tokens.length - 1, whole.tokens.length]) {
      const { examples, summary } = makeExamples([text], gpt2, { ...options, maxLength, longExamples: "drop" });
      expect(examples.flatMap((example) => [...trained(example)])).toEqual([...trained(whole)]);
      expect(Math.max(...examples.map((example) => example.tokens.length))).toBeLessThanOrEqual(maxLength);
      expect(summary).toMatchObject({ read: 1, kept: examples.length, tooLong: 0, trainedTokens: whole.tokens.length - 1 });
    }
  });

  test("nothing left is an error that says why", () => {
    const set = makeExamples([record(long)], gpt2, { ...options, longExamples: "drop" });
    expect(() => requireExamples(set, "x.jsonl", 24)).toThrow(
      "x.jsonl: none of its 1 records can be trained on: 1 are longer than 24 tokens, 0 have no token of an answer left",
    );
  });
});

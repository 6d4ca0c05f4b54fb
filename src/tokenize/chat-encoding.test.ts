/** Which tokens of a rendered conversation are trained on. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { goldenFolder, readJson } from "../../test/golden.ts";
import { encodeChat } from "./chat-encoding.ts";
import type { ChatMessage } from "./chat-template.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { createTokenizer } from "./tokenizer.ts";

type Templates = Record<string, { template: string; bos_token: string; eos_token: string }>;

const { templates } = readJson<{ templates: Templates }>(goldenFolder(), "chat_templates", "reference.json");

function tokenizerWith(name: string, jinja: string, config: object = {}, ...special: string[]): Tokenizer {
  return createTokenizer({
    tokenizerJson: readJson(goldenFolder(), "tokenizers", name, "tokenizer.json"),
    tokenizerConfig: { ...config, additional_special_tokens: special },
    chatTemplateJinja: jinja,
    where: name,
  });
}

const conversation: ChatMessage[] = [
  { role: "system", content: "Be kind." },
  { role: "user", content: "  Hello " },
  { role: "assistant", content: "Hi! How can I help?" },
  { role: "user", content: "Hello" },
  { role: "assistant", content: "Hello" },
];

/** The texts of the runs of trained tokens. */
function trainedTexts(tokenizer: Tokenizer, messages: readonly ChatMessage[], addGenerationPrompt = false): string[] {
  const { tokens, trained } = encodeChat(tokenizer, messages, { addGenerationPrompt });
  const runs: number[][] = [];
  tokens.forEach((id, i) => {
    if (!trained[i]) return;
    if (!trained[i - 1]) runs.push([]);
    runs.at(-1)!.push(id);
  });
  return runs.map((ids) => tokenizer.decode(ids, { skipSpecialTokens: false }));
}

function messageTexts(tokenizer: Tokenizer, messages: readonly ChatMessage[]): string[] {
  const { tokens, messageOfToken } = encodeChat(tokenizer, messages, { addGenerationPrompt: false });
  return messages.map((_, m) =>
    tokenizer.decode(
      tokens.filter((__, i) => messageOfToken[i] === m),
      { skipSpecialTokens: false },
    ),
  );
}

const chatml = ["<|im_start|>", "<|im_end|>"];
const llama3 = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];

describe("encodeChat", () => {
  it.each([
    ["chatml", "qwen2_bytelevel_bpe", chatml, ["Hi! How can I help?<|im_end|>", "Hello<|im_end|>"]],
    ["qwen2_5", "smollm2_digits_bytelevel_bpe", chatml, ["Hi! How can I help?<|im_end|>", "Hello<|im_end|>"]],
    ["qwen3", "qwen2_bytelevel_bpe", chatml, ["Hi! How can I help?<|im_end|>", "<think>\n\n</think>\n\nHello<|im_end|>"]],
    ["llama3", "llama3_bytelevel_bpe", llama3, ["Hi! How can I help?<|eot_id|>", "Hello<|eot_id|>"]],
    ["llama3_1", "llama3_bytelevel_bpe", llama3, ["Hi! How can I help?<|eot_id|>", "Hello<|eot_id|>"]],
    ["phi3", "gpt2_bytelevel_bpe", ["<|end|>", "<|user|>", "<|assistant|>"], ["Hi! How can I help?<|end|>", "Hello<|end|>"]],
    ["zephyr", "gpt2_bytelevel_bpe", ["</s>"], ["Hi! How can I help?</s>", "Hello</s>"]],
    ["gemma3", "gpt2_bytelevel_bpe", ["<start_of_turn>", "<end_of_turn>"], ["Hi! How can I help?<end_of_turn>", "Hello<end_of_turn>"]],
    ["llama2", "gpt2_bytelevel_bpe", ["<s>", "</s>"], [" Hi! How can I help? </s>", " Hello </s>"]],
    ["llama2", "llama2_sentencepiece_bpe", [], ["Hi! How can I help? </s>", "Hello </s>"]],
    // Ends of turns that are no tokens of their own are found as text.
    ["chatml", "gpt2_bytelevel_bpe", [], ["Hi! How can I help?<|im_end|>", "Hello<|im_end|>"]],
  ])("trains on the answers and their ends: %s with %s", (name, tokenizerName, special, expected) => {
    const { template, bos_token, eos_token } = templates[name]!;
    const tokenizer = tokenizerWith(tokenizerName, template, { bos_token, eos_token }, ...special);
    expect(trainedTexts(tokenizer, conversation)).toEqual(expected);
    expect(trainedTexts(tokenizer, conversation, true)).toEqual(expected);
    expect(trainedTexts(tokenizer, conversation.slice(0, 3))[0]).toContain("Hi! How can I help?");
    // A token may hold the end of a content and the beginning of what follows it.
    expect(messageTexts(tokenizer, conversation)[1]).toMatch(/^\s*Hello/);
  });

  it.each([
    ["chatml", "qwen2_bytelevel_bpe", chatml, "<|im_end|>"],
    ["qwen2_5", "smollm2_digits_bytelevel_bpe", chatml, "<|im_end|>"],
    ["llama3", "llama3_bytelevel_bpe", llama3, "<|eot_id|>"],
    ["phi3", "gpt_neox_bytelevel_bpe", ["<|end|>"], "<|end|>"],
    ["gemma3", "llama2_sentencepiece_bpe", ["<end_of_turn>"], "<end_of_turn>"],
    ["llama2", "llama2_sentencepiece_bpe", [], "</s>"],
  ])("finds every answer, whatever is said: %s with %s", (name, tokenizerName, special, end) => {
    const { template, bos_token, eos_token } = templates[name]!;
    const tokenizer = tokenizerWith(tokenizerName, template, { bos_token, eos_token }, ...special);
    const unit = fc.oneof(
      fc.constantFrom("\n", "\n\n", " ", "  ", "Hello", "<", "|", "user", "assistant", "1", "▁", "é", "🙂"),
      fc.string({ unit: "grapheme-ascii" }),
    );
    const content = fc.array(unit, { maxLength: 8 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(fc.array(fc.tuple(content, content), { minLength: 1, maxLength: 3 }), (turns) => {
        const said = turns.map(([, answer]) => answer.normalize(tokenizer.unicodeForm ?? "NFC"));
        fc.pre(said.every((answer, i) => answer === turns[i]![1]));
        const messages = turns.flatMap(([user, assistant]): ChatMessage[] => [
          { role: "user", content: user },
          { role: "assistant", content: assistant },
        ]);
        // Trimming only, as a token may hold white space of the header with the beginning of the answer.
        const answers = trainedTexts(tokenizer, messages).map((text) => text.slice(0, -end.length).trim());
        // A "▁" is a space to some tokenizers.
        const plain = (text: string): string => text.replaceAll("▁", " ").trim();
        expect(answers.map(plain)).toEqual(said.map(plain));
        expect(trainedTexts(tokenizer, messages).every((text) => text.endsWith(end))).toBe(true);
      }),
    );
  });

  it("gives the tokens of the whole rendering, and BOS once", () => {
    const { template } = templates["llama3"]!;
    const tokenizer = tokenizerWith("llama3_bytelevel_bpe", template, { bos_token: "<|begin_of_text|>" });
    const { tokens, text } = encodeChat(tokenizer, conversation, { addGenerationPrompt: false });
    expect(tokenizer.decode(tokens, { skipSpecialTokens: false })).toBe(text);
    expect(tokens.filter((id) => id === tokenizer.bosId)).toHaveLength(1);
    expect(tokenizer.encode("a", { addSpecialTokens: true })[0]).toBe(tokenizer.bosId);
  });

  it("follows generation marks, and renders the same text with and without them", () => {
    const marked = templates["chatml"]!.template.replace(
      /\{\{'<\|im_start\|>'.*?\}\}/s,
      "{{'<|im_start|>' + message['role'] + '\n'}}{%- if message['role'] == 'assistant' -%}\n  {% generation %}\n{{ message['content'] + '<|im_end|>' }}{%- endgeneration -%}\n{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{'\n'}}",
    );
    expect(marked).toContain("endgeneration");
    const tokenizer = tokenizerWith("qwen2_bytelevel_bpe", marked);
    expect(trainedTexts(tokenizer, conversation)).toEqual(["Hi! How can I help?<|im_end|>", "Hello<|im_end|>"]);
    expect(messageTexts(tokenizer, conversation).slice(2)).toEqual(["Hi! How can I help?<|im_end|>", "Hello", "Hello<|im_end|>"]);
  });

  it("finds the answers of tool calls, which have no text", () => {
    const messages: ChatMessage[] = [
      { role: "user", content: "Hello" },
      { role: "assistant", content: "", tool_calls: [{ type: "function", function: { name: "f", arguments: { x: 1 } } }] },
      { role: "tool", content: "7" },
      { role: "assistant", content: "Seven." },
    ];
    const tokenizer = tokenizerWith("qwen2_bytelevel_bpe", templates["qwen2_5"]!.template);
    expect(trainedTexts(tokenizer, messages)).toEqual(['<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call><|im_end|>', "Seven.<|im_end|>"]);
  });

  it("refuses a template that writes something else before an answer than it asks with", () => {
    const { template } = templates["deepseek_r1_distill"]!;
    const tokenizer = tokenizerWith("qwen2_bytelevel_bpe", template);
    expect(() => trainedTexts(tokenizer, conversation)).toThrow(/not prefix-stable.*messages\[2\]/);
  });

  it("refuses a tokenizer without a template", () => {
    const tokenizer = createTokenizer({ tokenizerJson: readJson(goldenFolder(), "tokenizers", "qwen2_bytelevel_bpe", "tokenizer.json"), where: "x" });
    expect(() => encodeChat(tokenizer, conversation, { addGenerationPrompt: false })).toThrow(/no chat template/);
  });
});

import { describe, expect, test } from "vitest";
import { detectFormat, formatNamed, FORMATS } from "./format.ts";
import { documentsOf } from "./formats/text.ts";

const samples: Record<string, unknown> = {
  alpaca: { instruction: "Add.", input: "1 2", output: "3" },
  messages: {
    messages: [
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Ho" },
    ],
  },
  "prompt-completion": { prompt: "a", completion: "b" },
  text: "a text",
};

test("every format detects its own sample and no other's", () => {
  expect(FORMATS.map((format) => format.name).sort()).toEqual(Object.keys(samples).sort());
  for (const format of FORMATS) {
    for (const [name, sample] of Object.entries(samples)) expect([format.name, name, format.detect(sample)]).toEqual([format.name, name, format.name === name]);
  }
});

describe("reading", () => {
  const read = (name: string, value: unknown): unknown => formatNamed(name).read(value);

  test("alpaca: the input stands below the instruction, and both are kept apart too", () => {
    expect(read("alpaca", samples["alpaca"])).toEqual({
      kind: "messages",
      messages: [
        { role: "user", content: "Add.\n\n1 2" },
        { role: "assistant", content: "3" },
      ],
      task: { instruction: "Add.", input: "1 2" },
    });
    expect(read("alpaca", { instruction: "Sing.", output: "La." })).toEqual({
      kind: "messages",
      messages: [
        { role: "user", content: "Sing." },
        { role: "assistant", content: "La." },
      ],
    });
    expect(read("alpaca", { instruction: "c", input: "", output: "d", system: "s", history: [["a", "b"]] })).toMatchObject({
      messages: [{ role: "system", content: "s" }, { content: "a" }, { content: "b" }, { content: "c" }, { content: "d" }],
    });
  });

  test("messages: parts are joined, tool calls and other fields kept, developer is system", () => {
    const calls = [{ type: "function", function: { name: "f", arguments: {} } }];
    expect(
      read("messages", {
        messages: [
          { role: "developer", content: "s" },
          {
            role: "user",
            content: [
              { type: "text", text: "a" },
              { type: "text", text: "b" },
            ],
          },
          { role: "assistant", tool_calls: calls },
          { role: "tool", name: "f", content: "1" },
          { role: "assistant", content: "one" },
        ],
        tools: [{}],
      }),
    ).toEqual({
      kind: "messages",
      messages: [
        { role: "system", content: "s" },
        { role: "user", content: "ab" },
        { role: "assistant", content: null, tool_calls: calls },
        { role: "tool", name: "f", content: "1" },
        { role: "assistant", content: "one" },
      ],
      tools: [{}],
    });
  });

  test.each([
    ["alpaca", { instruction: "a", output: 3 }, "output is 3, but a text was needed"],
    ["alpaca", { instruction: " ", output: "b" }, "instruction is empty"],
    ["alpaca", { instruction: "a", output: "b", input: [] }, "input is an array, but a text was needed"],
    ["alpaca", { instruction: "a", output: "b", history: [["x"]] }, "history[0] is an array, but a pair of texts was needed"],
    ["messages", { messages: {} }, "messages is an object, but an array was needed"],
    ["messages", { messages: [] }, "messages is empty"],
    ["messages", { messages: [{ role: "user", content: "a" }] }, "messages has no assistant message: there is nothing to learn"],
    ["messages", { messages: [{ role: "user" }, { role: "assistant", content: "a" }] }, "messages[0].content is missing"],
    ["messages", { messages: [{ role: "robot", content: "a" }] }, 'messages[0].role is "robot", but one of system, user, assistant, tool was needed'],
    ["messages", { messages: [{ role: "assistant", content: null }] }, "messages[0].content is null, but a text was needed"],
    [
      "messages",
      {
        messages: [
          { role: "user", content: "a" },
          { role: "system", content: "a" },
        ],
      },
      'messages[1].role is "system", but only the first message may be the system\'s',
    ],
    ["messages", { messages: [{ role: "user", content: [{ type: "image_url" }] }] }, 'messages[0].content[0].type is "image_url", but "text" was needed'],
    ["messages", { messages: ["a"] }, 'messages[0] is "a", but an object was needed'],
    ["prompt-completion", { prompt: "a" }, "completion is missing"],
    ["prompt-completion", 7, "the record is 7, but an object was needed"],
    ["text", { text: "" }, "text is empty"],
    ["text", "  ", "the text is empty"],
  ])("%s: %j is refused by field", (name, value, message) => {
    expect(() => read(name, value)).toThrow(message);
  });
});

describe("detection", () => {
  const at = (...values: unknown[]): { line: number; value: unknown }[] => values.map((value, i) => ({ line: i + 1, value }));

  test("one format", () => {
    expect(detectFormat(at(samples["alpaca"], samples["alpaca"]), "x").name).toBe("alpaca");
  });

  test("none, several, nothing", () => {
    expect(() => detectFormat(at({ story: 1, context: 2 }), "x.jsonl")).toThrow('x.jsonl:1: no known format has the fields "story", "context"');
    expect(() => detectFormat(at(samples["alpaca"], samples["messages"]), "x.jsonl")).toThrow(
      "x.jsonl:2: the record is in the format messages, but those before it are alpaca",
    );
    expect(() => detectFormat([], "x.jsonl")).toThrow("x.jsonl: it holds no records");
    expect(() => detectFormat(at(null), "x")).toThrow("no known format has null as a record");
    expect(() => formatNamed("csv")).toThrow('unknown data format "csv"');
  });
});

describe("files of plain text", () => {
  const documents = (text: string): unknown[] =>
    Array.from(documentsOf(text.split("\n")), ({ line, content }) => [line, content.text, content.goesOn ?? false]);

  test("separators part documents; white space around them is dropped", () => {
    expect(documents("\none\ntwo\n\n<|endoftext|>\n<|endoftext|>\n\nthree\n")).toEqual([
      [2, "one\ntwo", false],
      [8, "three", false],
    ]);
    expect(documents("")).toEqual([]);
  });

  test("without separators, passages of whole paragraphs go on in each other", () => {
    const paragraph = "word ".repeat(100).trimEnd();
    const text = Array.from({ length: 12 }, () => paragraph).join("\n\n");
    const found = documents(text) as [number, string, boolean][];
    expect(found.map(([line, , goesOn]) => [line, goesOn])).toEqual([
      [1, true],
      [11, true],
      [21, false],
    ]);
    expect(found.map(([, passage]) => passage).join("")).toBe(text);
  });
});

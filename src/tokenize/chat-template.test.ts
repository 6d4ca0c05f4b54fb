/** Where a chat template comes from, and what it is given. */
import { describe, expect, it } from "vitest";
import type { ChatTemplate, RenderOptions } from "./chat-template.ts";
import { createChatTemplate } from "./chat-template.ts";
import { formatTime } from "./python-time.ts";

const messages = [{ role: "user", content: "x" }];

function make(config: unknown, jinja?: string): ChatTemplate | undefined {
  return createChatTemplate({ jinja, config, specialTokens: { bos_token: "<s>" }, where: "folder" });
}

function render(template: ChatTemplate | undefined, options: Partial<RenderOptions> = {}): string {
  return template!.render(messages, { addGenerationPrompt: false, ...options });
}

describe("createChatTemplate", () => {
  it("takes a string, a list, or the file, which wins", () => {
    expect(make(undefined)).toBeUndefined();
    expect(make(null)).toBeUndefined();
    expect(render(make("{{ bos_token }}a"))).toBe("<s>a");
    expect(render(make("a", "b"))).toBe("b");
    const list = make([
      { name: "default", template: "d" },
      { name: "tool_use", template: "t{{ tools | length }}" },
    ]);
    expect(list!.names).toEqual(["default", "tool_use"]);
    expect(render(list)).toBe("d");
    expect(render(list, { tools: [{}, {}] })).toBe("t2");
    expect(render(list, { templateName: "default", tools: [{}] })).toBe("d");
    expect(() => render(list, { templateName: "rag" })).toThrow(/no template named "rag", only default, tool_use/);
    expect(() => render(make([{ name: "rag", template: "r" }]))).toThrow(/no template named "default"/);
  });

  it.each<[unknown, RegExp]>([
    [7, /chat_template is 7, needed a string/],
    [[{ name: "x" }], /chat_template\[0\] is \{"name":"x"\}/],
    ["{% if %}", /chat template "default" cannot be parsed/],
  ])("refuses %j", (config, message) => {
    expect(() => make(config)).toThrow(message);
  });

  it("gives None for tools and documents that are absent, and passes further variables", () => {
    expect(render(make("{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}"))).toBe("truetruefalse");
    expect(render(make("{{ thinking }}"), { extra: { thinking: 3 } })).toBe("3");
  });

  it("tells the time that it is given, and none otherwise", () => {
    const template = make("{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}no date{% endif %}");
    expect(render(template)).toBe("no date");
    expect(render(template, { now: new Date(2026, 0, 5) })).toBe("05 Jan 2026");
  });

  it("says why the template refuses the messages", () => {
    expect(() => render(make("{{ raise_exception('no\\nway') }}"))).toThrow("folder: the chat template refuses these messages: no way");
  });
});

describe("formatTime", () => {
  it("formats as Python does in the C locale", () => {
    const date = new Date(2024, 6, 4, 15, 7, 9);
    expect(formatTime(date, "%A %a %B %b %d %-d %m %-m %Y %y %H %I %p %M %S %%")).toBe("Thursday Thu July Jul 04 4 07 7 2024 24 15 03 PM 07 09 %");
    expect(() => formatTime(date, "%Q")).toThrow(/directive %Q/);
  });
});

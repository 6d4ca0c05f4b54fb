/** Chat templates against `transformers`' `apply_chat_template`: the rendered text, or the refusal. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenFolder, readJson } from "../../test/golden.ts";
import type { ChatMessage } from "./chat-template.ts";
import { createChatTemplate } from "./chat-template.ts";

interface Reference {
  readonly conversations: Readonly<Record<string, ChatMessage[]>>;
  readonly templates: Readonly<
    Record<
      string,
      {
        readonly template: string;
        readonly bos_token: string;
        readonly eos_token: string;
        readonly cases: readonly {
          readonly conversation: string;
          readonly add_generation_prompt: boolean;
          readonly tools: unknown[] | null;
          readonly kwargs: Record<string, unknown>;
          readonly rendered?: string;
          readonly error?: string;
        }[];
      }
    >
  >;
}

const folder = join(goldenFolder(), "chat_templates");

describe.runIf(existsSync(folder))("chat templates", () => {
  const reference = existsSync(folder) ? readJson<Reference>(folder, "reference.json") : { conversations: {}, templates: {} };
  for (const [name, { template, bos_token, eos_token, cases }] of Object.entries(reference.templates)) {
    it(name, () => {
      const chat = createChatTemplate({ jinja: template, config: undefined, specialTokens: { bos_token, eos_token }, where: name })!;
      for (const each of cases) {
        const render = (): string =>
          chat.render(reference.conversations[each.conversation]!, {
            addGenerationPrompt: each.add_generation_prompt,
            tools: each.tools ?? undefined,
            extra: each.kwargs,
          });
        if (each.error === undefined) expect(render(), each.conversation).toBe(each.rendered);
        else expect(render, each.conversation).toThrow(each.error.replace(/^TemplateError: /, ""));
      }
    });
  }
});

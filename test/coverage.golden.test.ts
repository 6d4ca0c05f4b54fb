/** Names the golden cases of kinds that nothing here can check yet, so that an unknown case is never taken for a passed one. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { goldenCases, goldenFolder } from "./golden.ts";

/** Kinds of cases (folders) that golden tests check. */
const COVERED: ReadonlySet<string> = new Set([
  "bottleneck",
  "adaption_prompt",
  "adapter_sum",
  "bpe_training",
  "chat_templates",
  "full_finetune",
  "full_grads",
  "ia3",
  "lora",
  "models",
  "nf4",
  "optim",
  "pretraining",
  "qlora",
  "prompt_learning",
  "sampling",
  "tokenizers",
  "vocabularies",
]);

const root = fileURLToPath(new URL("..", import.meta.url));

/** Text of all golden tests but this one. */
function goldenTests(): string {
  const folders = ["src", "test"].map((name) => join(root, name));
  const files = folders.flatMap((folder) => readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name)));
  return files
    .filter((file) => file.endsWith(".golden.test.ts") && !file.endsWith("coverage.golden.test.ts"))
    .map((file) => readFileSync(file, "utf8"))
    .join("\n");
}

describe("golden coverage", () => {
  it("every kind that counts as covered is read by a golden test", () => {
    const text = goldenTests();
    for (const kind of COVERED) expect(text, kind).toContain(`"${kind}"`);
  });

  for (const entry of existsSync(goldenFolder()) ? readdirSync(goldenFolder(), { withFileTypes: true }) : []) {
    if (!entry.isDirectory() || COVERED.has(entry.name)) continue;
    const cases = goldenCases(entry.name).map(({ name }) => `${entry.name}/${name}`);
    for (const name of cases.length > 0 ? cases : [entry.name]) {
      it(name, (context) => context.skip(`not covered: ${name}: nothing here checks ${entry.name}`));
    }
  }
});

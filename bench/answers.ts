/**
 * Lets pebble answer the held-out questions about stories, without and with adapters, and counts: answers that are word for word
 * the wanted one, and the overlap of words (F1), both without case, punctuation and articles as in SQuAD (Rajpurkar et al. 2016).
 *
 * Usage: npm run bench:answers -- ADAPTER [ADAPTER ...]
 */
import { readFile } from "node:fs/promises";
import { Conversation } from "../src/generate/conversation.ts";

interface Row {
  readonly messages: readonly [{ readonly content: string }, { readonly content: string }];
}

const model = "models/pebble";
const rows = (await readFile("datasets/fairytale-qa/validation.jsonl", "utf8"))
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as Row);

function wordsOf(text: string): string[] {
  const plain = text.toLowerCase().replaceAll(/[^\p{L}\p{N} ]/gu, "");
  return plain.split(/\s+/).filter((word) => word !== "" && word !== "a" && word !== "an" && word !== "the");
}

/** Harmonic mean of precision and recall of an answer's words. */
function overlap(answer: readonly string[], wanted: readonly string[]): number {
  const left = [...wanted];
  let common = 0;
  for (const word of answer) {
    const at = left.indexOf(word);
    if (at < 0) continue;
    left.splice(at, 1);
    common++;
  }
  return common === 0 ? 0 : (2 * common) / (answer.length + wanted.length);
}

for (const adapter of [undefined, ...process.argv.slice(2)]) {
  const conversation = await Conversation.open({ model, ...(adapter === undefined ? {} : { adapter: [adapter] }), greedy: true, maxTokens: 24 });
  let [exact, sum] = [0, 0];
  for (const { messages } of rows) {
    conversation.reset();
    const answer = wordsOf((await conversation.say(messages[0].content)).text);
    const wanted = wordsOf(messages[1].content);
    if (answer.join(" ") === wanted.join(" ")) exact++;
    sum += overlap(answer, wanted);
  }
  await conversation.close();
  console.log(`${adapter ?? "no adapter"}: ${exact} of ${rows.length} word for word, F1 ${(sum / rows.length).toFixed(3)}`);
}

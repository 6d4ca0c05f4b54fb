/**
 * Makes train.jsonl and validation.jsonl from FairytaleQA: questions whose answer stands word for word in one or two sentences
 * of the story, with these sentences; held out are the stories that pebble's pretraining held out.
 *
 * Usage, in a built clone: node datasets/fairytale-qa/make.js FAIRYTALE_QA.jsonl CORPORA_FOLDER
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { splitRecords } from "../../dist/data/split.js";
import { loadCorpus } from "../../dist/io/corpus.js";

const [source, corpora] = process.argv.slice(2);
if (source === undefined || corpora === undefined) throw new Error("usage: make.js FAIRYTALE_QA.jsonl CORPORA_FOLDER");

const LONGEST_ANSWER = 8; // words
const LONGEST_PASSAGE = 320; // characters

const rows = readFileSync(source, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line));

/** Sentences of a text, by the marks that end them. */
const sentencesOf = (text) =>
  text
    .split(/(?<=[.!?])\s+|(?<=[.!?]["'])\s+|\n+/)
    .map((sentence) => sentence.trim())
    .filter(Boolean);

const isWhole = (sentence) => /^["']?\p{Lu}.*[.!?]["']?$/u.test(sentence);

/** The sentence with the answer and, where there is room, the one before it; undefined when the answer is not said in one place. */
function passageOf({ context, answer }) {
  const wanted = answer.trim().replace(/[.!]$/, "");
  const words = wanted.split(/\s+/).length;
  if (words > LONGEST_ANSWER) return undefined;
  const pattern = new RegExp(`(?<!\\p{L})${wanted.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}(?!\\p{L})`, "iu");
  const sentences = sentencesOf(context);
  const places = sentences.flatMap((sentence, i) => (pattern.test(sentence) ? [i] : []));
  if (places.length !== 1) return undefined;
  const [at] = places;
  const sentence = sentences[at];
  if (!isWhole(sentence) || sentence.length > LONGEST_PASSAGE) return undefined;
  const before = sentences[at - 1];
  const both = before === undefined || !isWhole(before) ? sentence : `${before} ${sentence}`;
  // As the story spells it, so that the answer can be copied.
  const answerAsWritten = pattern.exec(sentence)[0];
  return { passage: both.length <= LONGEST_PASSAGE ? both : sentence, answer: answerAsWritten };
}

/** The stories that pebble has never read. */
async function heldOutStories() {
  const recipe = parse(readFileSync(fileURLToPath(new URL("../../recipes/pebble.yaml", import.meta.url)), "utf8"));
  const corpus = await loadCorpus(recipe.data.map((path) => join(corpora, path.replace(/^corpora\//, ""))));
  const { validation } = splitRecords(corpus.documents, Number(recipe.validation), recipe.seed ?? 42);
  const texts = validation.filter(({ source: file }) => file.endsWith("fairytales.txt")).map(({ text }) => text);
  const stories = new Set();
  for (const { story, context } of rows) if (texts.some((text) => text.includes(context.slice(0, 200)))) stories.add(story);
  return stories;
}

const held = await heldOutStories();
const parts = { train: new Map(), validation: new Map() };
for (const row of rows) {
  const found = passageOf(row);
  if (found === undefined) continue;
  const user = `${found.passage} ${row.question.trim()}`;
  const record = {
    messages: [
      { role: "user", content: user },
      { role: "assistant", content: found.answer },
    ],
    story: row.story,
  };
  parts[held.has(row.story) ? "validation" : "train"].set(user, JSON.stringify(record));
}
for (const [name, records] of Object.entries(parts)) {
  writeFileSync(new URL(`./${name}.jsonl`, import.meta.url), `${[...records.values()].join("\n")}\n`);
  console.log(`${name}: ${records.size} records`);
}
console.log(`held out: ${[...held].join(", ")}`);

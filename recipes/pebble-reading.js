/**
 * Makes reading exercises from the stories that pebble is trained on: a passage followed by itself, or by one of its sentences
 * with a gap and the words that fill it. A small model learns to look back and copy from them within a few million tokens,
 * which plain stories teach it much later (Olsson et al. 2022, "In-context learning and induction heads", arXiv 2209.11895).
 *
 * Usage, in a built clone: node recipes/pebble-reading.js CORPORA_FOLDER > CORPORA_FOLDER/reading.txt
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { Random } from "../dist/base/random.js";
import { splitRecords } from "../dist/data/split.js";
import { loadCorpus } from "../dist/io/corpus.js";

const [corpora] = process.argv.slice(2);
if (corpora === undefined) throw new Error("usage: pebble-reading.js CORPORA_FOLDER");

const SOURCES = ["fairytales.txt", "storybooks-ccby.txt", "tinystories-2MB.txt"];
const LONGEST_PASSAGE = 320; // characters
const ECHOES = 0.3; // of the exercises; the others have a gap
const KEPT = 0.75; // of the passages

/** Words that often begin a phrase which answers a question. */
const OPENERS = new Set(
  "a an the his her their its my your our this that these those some many one two three in on at to into from with by under over near through because very so all no".split(
    " ",
  ),
);

const random = Random.named(42, "reading");
const recipe = parse(readFileSync(fileURLToPath(new URL("./pebble.yaml", import.meta.url)), "utf8"));
const corpus = await loadCorpus(recipe.data.map((path) => join(corpora, path.replace(/^corpora\//, ""))));
// Only what is trained on: the held-out documents stay unread.
const { train } = splitRecords(corpus.documents, Number(recipe.validation), recipe.seed ?? 42);

const sentencesOf = (text) =>
  text
    .replaceAll(/\s+/g, " ")
    .split(/(?<=[.!?])\s+|(?<=[.!?]["'”’])\s+/)
    .map((sentence) => sentence.trim())
    .filter((sentence) => sentence.length > 12);

/** A sentence with a gap, and what was there; undefined where no phrase is to be found. */
function withGap(sentence) {
  const words = sentence.split(" ");
  if (words.length < 5) return undefined;
  const bare = (word) => word.toLowerCase().replaceAll(/[^\p{L}]/gu, "");
  const starts = words.flatMap((word, i) => (i > 0 && OPENERS.has(bare(word)) ? [i] : []));
  const first = starts.length > 0 && random.uniform() < 0.75 ? starts[random.integer(starts.length)] : random.integer(words.length - 1);
  let end = first + 1;
  const most = 1 + random.integer(5);
  // A phrase ends at a mark of punctuation.
  while (end < words.length && end - first < most + 1 && !/[,;:.!?"”]$/.test(words[end - 1])) end++;
  const filled = words
    .slice(first, end)
    .join(" ")
    .replace(/[,;:.!?"”]+$/, "");
  const rest = words.slice(first, end).join(" ").slice(filled.length);
  if (filled === "" || /^["“(]/.test(filled)) return undefined;
  return { gapped: [...words.slice(0, first), `____${rest}`, ...words.slice(end)].join(" "), filled };
}

const exercises = [];
for (const { source, text } of train) {
  if (!SOURCES.some((name) => source.endsWith(name))) continue;
  const sentences = sentencesOf(text);
  for (let i = 0; i < sentences.length;) {
    let passage = sentences[i];
    let count = 1;
    const wanted = 1 + random.integer(4);
    while (count < wanted && i + count < sentences.length && passage.length + sentences[i + count].length < LONGEST_PASSAGE)
      passage += ` ${sentences[i + count++]}`;
    const inside = sentences.slice(i, i + count);
    i += count;
    if (passage.length > LONGEST_PASSAGE || random.uniform() > KEPT) continue;
    if (random.uniform() < ECHOES) {
      exercises.push(`${passage}\n${passage}`);
      continue;
    }
    const gap = withGap(inside[random.integer(inside.length)]);
    if (gap !== undefined) exercises.push(`${passage} ${gap.gapped}\n${gap.filled}`);
  }
}
process.stdout.write(`${random.shuffle(exercises).join("\n<|endoftext|>\n")}\n`);

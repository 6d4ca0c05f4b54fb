/** Reads the files of a corpus into documents of plain text, each kept once. */
import { GiantError } from "../base/errors.ts";
import type { TextContent, TrainingRecord } from "../data/record.ts";
import { loadRecords } from "./records.ts";

/**
 * A document, or a passage of a file that does not say where its documents end (then `goesOn` is true for all but its last).
 * A document is never divided, so that a split by `splitRecords` has it on one side as a whole.
 */
export interface CorpusDocument extends TextContent {
  /** The file, as it was named. */
  readonly source: string;
  /** 1-based line on which the text begins. */
  readonly line: number;
  /** UTF-8 bytes of the text. */
  readonly bytes: number;
}

export interface CorpusFile {
  /** The file, as it was named. */
  readonly source: string;
  /** Documents kept. */
  readonly documents: number;
  /** UTF-8 bytes of the documents kept. */
  readonly bytes: number;
  /** Documents left out, as the same text stands earlier in the corpus. */
  readonly duplicates: number;
}

export interface Corpus {
  /** In the order of the files and their lines. */
  readonly documents: readonly CorpusDocument[];
  readonly files: readonly CorpusFile[];
  /** UTF-8 bytes of all documents. */
  readonly bytes: number;
  /** Documents left out, as the same text stands earlier. */
  readonly duplicates: number;
}

/**
 * Reads `.txt` files (documents between lines `<|endoftext|>`, or passages of some paragraphs) and `.jsonl` or `.json` files
 * of texts. White space at the end makes no document another one.
 * @throws GiantError("usage") without files; ("format") or ("data") for bytes that are no UTF-8, a file without text, and
 * records that are no text.
 */
export async function loadCorpus(paths: readonly string[]): Promise<Corpus> {
  if (paths.length === 0) throw new GiantError("usage", "the corpus has no files", { hint: "Name one file or more with --data." });
  const documents: CorpusDocument[] = [];
  const files: CorpusFile[] = [];
  const seen = new Set<string>();
  for (const path of paths) {
    const { records, format } = await loadRecords(path);
    const first = documents.length;
    let bytes = 0;
    for (const record of records) {
      const document = documentOf(record, format);
      const key = document.text.trimEnd();
      if (seen.has(key)) continue;
      seen.add(key);
      documents.push(document);
      bytes += document.bytes;
    }
    const kept = documents.length - first;
    files.push({ source: path, documents: kept, bytes, duplicates: records.length - kept });
  }
  return {
    documents,
    files,
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    duplicates: files.reduce((sum, file) => sum + file.duplicates, 0),
  };
}

function documentOf(record: TrainingRecord, format: string): CorpusDocument {
  if (record.kind !== "text") {
    throw new GiantError("data", `${record.source}: its records are in the format ${format}, but plain text was needed`, {
      hint: 'A corpus is made of .txt files, of lines {"text": …} or of JSON arrays of texts; questions and answers are for tuning.',
      facts: { source: record.source, format },
    });
  }
  return { ...record, bytes: Buffer.byteLength(record.text, "utf8") };
}

/** Plain-text tables and wrapped paragraphs. */

/** Rows in columns: the first column to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
        .join("   ")
        .trimEnd(),
    )
    .join("\n");
}

/** Characters that would move the cursor or change the terminal; a model's words may hold any. */
const CONTROL = /[^\P{Cc}\n]/gu;

/** A text on indented lines of at most `width` columns; its own line breaks are kept, control characters are not. */
export function indent(text: string, prefix: string, width: number): string {
  const room = Math.max(20, width - prefix.length);
  const lines = text
    .trim()
    .replaceAll("\r\n", "\n")
    .replaceAll(CONTROL, " ")
    .split("\n")
    .flatMap((line) => fold(line, room));
  return lines.map((line, i) => (i === 0 ? prefix : " ".repeat(prefix.length)) + line).join("\n");
}

function fold(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** The page that reports are written as: one file that needs nothing from outside and follows light and dark. */

/** Colours by role, a light and a dark shade each; drawings carry them too, so that they stand alone. */
export const INK_STYLE = `
:root { color-scheme: light dark; --plain: #1d2530; --soft: #69737f; --line: #d8dde3; --paper: #fff; --first: #c2410c; --second: #5b84b1; --third: #3f8f5f; --fourth: #8b5fb3; --fifth: #b8860b; --sixth: #c2477f; --seventh: #2a8c95; --eighth: #6b7280; }
@media (prefers-color-scheme: dark) { :root { --plain: #e6e9ed; --soft: #9aa4af; --line: #39424d; --paper: #14181d; --first: #fb923c; --second: #7ba6d6; --third: #6cc08f; --fourth: #b794dc; --fifth: #e3b341; --sixth: #f08bb4; --seventh: #5cc4cd; --eighth: #a3acb8; } }
`;

const STYLE = `${INK_STYLE}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--plain); background: var(--paper); max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .4rem .7rem .4rem 0; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; } .soft { color: var(--soft); }
.bar { display: block; height: .3rem; margin-top: .15rem; margin-left: auto; border-radius: .15rem; background: var(--second); } .best { font-weight: 600; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; } svg { width: 100%; height: auto; }
`;

/** A whole page; `body` is HTML. */
export function htmlPage(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body>
${body}
</body></html>
`;
}

/** A table whose columns after the first are figures; cells are texts. */
export function figureTable([header, ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], element: "th" | "td"): string =>
    `<tr>${cells.map((cell, i) => `<${element}${i > 0 ? ' class="number"' : ""}>${escapeHtml(cell)}</${element}>`).join("")}</tr>`;
  return `<table>${line(header ?? [], "th")}\n${rows.map((row) => line(row, "td")).join("\n")}</table>`;
}

/** A text as HTML. */
export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

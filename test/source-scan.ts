/** Reads TypeScript source far enough to tell code from comments and texts, and to list what a file imports. */

/** A stretch of source: code as it stands, or the content of a text literal. Comments are left out. */
export interface Piece {
  readonly kind: "code" | "text";
  readonly content: string;
}

/** After these a slash begins a regular expression; after anything else it divides. */
const BEFORE_PATTERN = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|of|in|yield|await))\s*$/;

/** Cuts source into pieces; the code inside `${}` of a template is code. */
export function piecesOf(source: string): Piece[] {
  const pieces: Piece[] = [];
  let code = "";
  let at = 0;
  /** For each open `${`, how many braces are open inside it. */
  const substitutions: number[] = [];
  const text = (content: string): void => {
    pieces.push({ kind: "code", content: code }, { kind: "text", content });
    code = "";
  };
  const upTo = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const content = pattern.exec(source)?.[0] ?? source.slice(at);
    at += content.length;
    return content;
  };
  const template = (): void => {
    text(upTo(/(?:\\[^]|(?!\$\{)[^`\\])*/y));
    if (source[at] === "`") at++;
    else {
      at += 2; // ${
      substitutions.push(0);
    }
  };
  while (at < source.length) {
    const character = source[at]!;
    if (source.startsWith("//", at)) upTo(/[^\n]*/y);
    else if (source.startsWith("/*", at)) upTo(/\/\*[^]*?\*\//y);
    else if (character === '"' || character === "'") text(upTo(character === '"' ? /"(?:\\[^]|[^"\\])*"/y : /'(?:\\[^]|[^'\\])*'/y).slice(1, -1));
    else if (character === "/" && BEFORE_PATTERN.test(code)) text(upTo(/\/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\[\n])+\/\w*/y));
    else if (character === "`") {
      at++;
      template();
    } else if (character === "}" && substitutions.at(-1) === 0) {
      at++;
      substitutions.pop();
      template();
    } else {
      if (substitutions.length > 0 && character === "{") substitutions[substitutions.length - 1]!++;
      if (substitutions.length > 0 && character === "}") substitutions[substitutions.length - 1]!--;
      code += character;
      at++;
    }
  }
  pieces.push({ kind: "code", content: code });
  return pieces;
}

/** The code alone, texts replaced by a blank. */
export function codeOf(source: string): string {
  return piecesOf(source)
    .map(({ kind, content }) => (kind === "code" ? content : " "))
    .join("");
}

/** What a file imports or exports from, in order: static, dynamic, and types alone too. */
export function importsOf(source: string): string[] {
  const pieces = piecesOf(source);
  return pieces.flatMap(({ kind, content }, i) => (kind === "text" && /(?:\bfrom|\bimport|\bimport\()\s*$/.test(pieces[i - 1]!.content) ? [content] : []));
}

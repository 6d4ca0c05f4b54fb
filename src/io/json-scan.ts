/** A scanner over JSON text for what JSON.parse does not tell: where the first error is, repeated keys, where elements begin. */

export interface JsonProblem {
  /** Index into the text (UTF-16 code units). */
  readonly offset: number;
  readonly message: string;
}

export interface JsonScan {
  readonly problem?: JsonProblem;
  /** Keys that occur twice in the outermost object. */
  readonly repeatedKeys: readonly string[];
  /** Where each element of the outermost array, or each value of the outermost object, begins. */
  readonly elementOffsets: readonly number[];
}

const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const WORD = /[^\s{}[\],:"]{1,20}/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/** What may come next in the text. */
type Expected = "value" | "value or ]" | "key" | "key or }" | "colon" | "comma or ]" | "comma or }" | "end";

/** Scans a text as JSON (RFC 8259) without building values; iterative, so depth does not matter. */
export function scanJson(text: string): JsonScan {
  const repeatedKeys: string[] = [];
  const elementOffsets: number[] = [];
  const keys = new Set<string>();
  const open: ("{" | "[")[] = [];
  let expected: Expected = "value";
  let at = 0;
  const fail = (offset: number, message: string): JsonScan => ({ problem: { offset, message }, repeatedKeys, elementOffsets });
  const afterValue = (): Expected => (open.length === 0 ? "end" : open.at(-1) === "[" ? "comma or ]" : "comma or }");
  for (;;) {
    while (isSpace(text.charCodeAt(at))) at++;
    if (at >= text.length) {
      return expected === "end" ? { repeatedKeys, elementOffsets } : fail(at, `the text ends where ${describe(expected)} was expected`);
    }
    const character = text[at]!;
    const wantsValue: boolean = expected === "value" || expected === "value or ]";
    const wantsKey: boolean = expected === "key" || expected === "key or }";
    if (wantsValue && open.length === 1 && character !== "]") elementOffsets.push(at);
    if (wantsValue && (character === "{" || character === "[")) {
      open.push(character);
      expected = character === "{" ? "key or }" : "value or ]";
      at++;
    } else if ((wantsValue || wantsKey) && character === '"') {
      const end = endOfString(text, at);
      if (typeof end !== "number") return fail(end.offset, end.message);
      if (wantsKey) {
        if (open.length === 1) {
          const key = JSON.parse(text.slice(at, end)) as string;
          if (keys.has(key)) repeatedKeys.push(key);
          keys.add(key);
        }
        expected = "colon";
      } else expected = afterValue();
      at = end;
    } else if (character === ":" && expected === "colon") {
      expected = "value";
      at++;
    } else if (character === "," && (expected === "comma or ]" || expected === "comma or }")) {
      expected = expected === "comma or ]" ? "value" : "key";
      at++;
    } else if (
      (character === "]" && (expected === "value or ]" || expected === "comma or ]")) ||
      (character === "}" && (expected === "key or }" || expected === "comma or }"))
    ) {
      open.pop();
      expected = afterValue();
      at++;
    } else {
      SCALAR.lastIndex = at;
      if (!wantsValue || !SCALAR.test(text)) return fail(at, `${describe(expected)} was expected, found ${found(text, at)}`);
      at = SCALAR.lastIndex;
      expected = afterValue();
    }
  }
}

/** The 1-based line of an offset. */
export function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) line++;
  return line;
}

/** The 1-based column of an offset in its line, in UTF-16 code units. */
export function columnOf(text: string, offset: number): number {
  return offset === 0 ? 1 : offset - text.lastIndexOf("\n", offset - 1);
}

/** The index behind the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number | JsonProblem {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) return at + 1;
    if (code < 0x20) return { offset: at, message: "a string holds a control character that must be escaped" };
    if (code === 0x5c) {
      ESCAPE.lastIndex = at;
      if (!ESCAPE.test(text)) return { offset: at, message: "a string holds an invalid escape" };
      at = ESCAPE.lastIndex - 1;
    }
  }
  return { offset: start, message: "a string is not closed" };
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

function describe(expected: Expected): string {
  switch (expected) {
    case "value":
      return "a value";
    case "value or ]":
      return 'a value or "]"';
    case "key":
      return "a key in quotes";
    case "key or }":
      return 'a key in quotes or "}"';
    case "colon":
      return '":"';
    case "comma or ]":
      return '"," or "]"';
    case "comma or }":
      return '"," or "}"';
    case "end":
      return "the end of the text";
  }
}

function found(text: string, at: number): string {
  WORD.lastIndex = at;
  const word = WORD.exec(text)?.[0] ?? String.fromCodePoint(text.codePointAt(at)!);
  return JSON.stringify(word);
}

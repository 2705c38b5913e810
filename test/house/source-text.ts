/**
 * TypeScript as text: enough of its grammar to tell code from comments and
 * strings and to find functions. TypeScript 7 has no parser to be called yet.
 */

/** Where a piece of source is put out of sight: replaced by spaces, so that places and lines stay. */
export interface Masked {
  /** Without comments. */
  readonly text: string;
  /** Without comments and without what strings, templates and regular expressions hold. */
  readonly code: string;
}

// In this order: a `//` in a string is no comment, a quote in a comment opens no string.
const COMMENT = String.raw`\/\/[^\n]*|\/\*[\s\S]*?\*\/`;
const STRING = String.raw`'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"`;
// A slash begins a regular expression where a value may begin, and divides elsewhere.
const REGEXP = String.raw`(?<=(?:[(,=:[!&|?{};+*%~^<>]|\b(?:return|typeof|case|in|of))\s*)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*`;
const TOKEN = new RegExp(`${COMMENT}|${STRING}|${REGEXP}|[\`{}]`, 'g');

export function mask(source: string): Masked {
  // By UTF-16 units, as the places of matches are.
  const text = source.split('');
  const code = source.split('');
  const hide = (from: number, to: number, ...views: string[][]): void => {
    for (const view of views) {
      for (let at = from; at < to; at += 1) if (view[at] !== '\n') view[at] = ' ';
    }
  };
  // What the closing brace returns to: a template, or code.
  const braces: Array<'template' | 'code'> = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(source); match !== null; match = TOKEN.exec(source)) {
    const [token] = match;
    const end = match.index + token.length;
    if (token === '{') braces.push('code');
    else if (token === '`' || (token === '}' && braces.pop() === 'template')) {
      const stop = templateEnd(source, end);
      hide(end, stop, code);
      if (source[stop] === '$') braces.push('template');
      // Past the closing backtick, or past the `${` that returns to code.
      TOKEN.lastIndex = stop + (source[stop] === '$' ? 2 : 1);
      if (source[stop] === '$') hide(stop, stop + 2, code);
      if (token === '}') hide(match.index, end, code);
    } else if (token.startsWith('/') && /^\/[/*]/.test(token)) hide(match.index, end, text, code);
    else if (token !== '}') hide(match.index + 1, end - 1, code);
  }
  return { text: text.join(''), code: code.join('') };
}

/** The place of the backtick or of the `${` that ends this piece of a template. */
function templateEnd(source: string, from: number): number {
  const end = /(?<!\\)(?:\\\\)*(?:`|\$\{)/g;
  end.lastIndex = from;
  const match = end.exec(source);
  return match === null ? source.length : match.index + match[0].search(/[`$]/);
}

/** The line of a place, from 1. */
export function lineOf(source: string, at: number): number {
  return source.slice(0, at).split('\n').length;
}

export interface FoundFunction {
  readonly line: number;
  readonly lines: number;
  readonly parameters: readonly string[];
}

const NO_FUNCTION = /(?:^|[^\w$.#])(?:if|for|while|switch|catch)\s*$/;

/** The functions that have a body in braces, and all arrow functions with parameters in parentheses. */
export function functionsIn(code: string): FoundFunction[] {
  const found: FoundFunction[] = [];
  for (let open = code.indexOf('('); open >= 0; open = code.indexOf('(', open + 1)) {
    if (NO_FUNCTION.test(code.slice(Math.max(0, open - 20), open))) continue;
    const close = matching(code, open);
    const body = bodyAfter(code, close + 1);
    if (body === undefined) continue;
    const line = lineOf(code, open);
    const end = code[body] === '{' ? matching(code, body) : body;
    const parameters = split(code.slice(open + 1, close));
    found.push({ line, lines: lineOf(code, end) - line + 1, parameters });
  }
  return found;
}

const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** The place of the bracket that closes the one at `open`. */
function matching(code: string, open: number): number {
  const opening = code[open] ?? '';
  const closing = CLOSING[opening];
  let depth = 0;
  for (let at = open; at < code.length; at += 1) {
    if (code[at] === opening) depth += 1;
    else if (code[at] === closing) {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return code.length;
}

/** Where the body begins, past a return type; for an arrow without braces, the arrow. */
function bodyAfter(code: string, from: number): number | undefined {
  const start = from + /^\s*/.exec(code.slice(from))![0].length;
  if (code[start] === '{') return start;
  if (code.startsWith('=>', start)) return afterArrow(code, start);
  if (code[start] !== ':') return undefined;
  let depth = 0;
  let typeMayBegin = true; // a brace is an object type here, and the body elsewhere
  for (let at = start + 1; at < code.length; at += 1) {
    const char = code[at] ?? '';
    if (/\s/.test(char)) continue;
    if (char === '=' && code[at + 1] === '>') {
      if (depth === 0) return afterArrow(code, at);
      at += 1;
      typeMayBegin = true;
      continue;
    }
    if (char === '{' && depth === 0 && !typeMayBegin) return at;
    if (char === '{' || char === '(' || char === '[') at = matching(code, at);
    else if (char === '<') depth += 1;
    else if (char === '>') depth -= 1;
    else if (depth === 0 && /[;=,)\]}?]/.test(char)) return undefined;
    typeMayBegin =
      /[:|&<,]/.test(char) || /\b(?:is|extends|keyof|readonly)$/.test(code.slice(at - 8, at + 1));
  }
  return undefined;
}

function afterArrow(code: string, arrow: number): number {
  const body = arrow + 2 + /^\s*/.exec(code.slice(arrow + 2))![0].length;
  return code[body] === '{' ? body : arrow;
}

/** What stands between the commas of the outermost level. */
function split(list: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < list.length; at += 1) {
    const char = list[at] ?? '';
    if (char === '=' && list[at + 1] === '>') at += 1;
    else if (/[([{<]/.test(char)) depth += 1;
    else if (/[)\]}>]/.test(char)) depth -= 1;
    else if (char === ',' && depth === 0) {
      parts.push(list.slice(from, at));
      from = at + 1;
    }
  }
  parts.push(list.slice(from));
  return parts.map((part) => part.trim()).filter((part) => part !== '' && !/^this\b/.test(part));
}

/** Text as a person sees it: what came from outside made harmless, widths, bars, numbers. */
import { stripVTControlCharacters } from 'node:util';

// C0, DEL and C1 move the cursor or say things to the terminal; the others turn
// the direction of what follows, or are not seen at all.
const UNSEEN = /[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;

/** Anything that came from outside (a key, an id, an error), so that it can be printed. */
export function escaped(text: string): string {
  return text.replace(UNSEEN, (char) => {
    const code = char.charCodeAt(0);
    if (char === '\n') return '\\n';
    return code < 256 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`;
  });
}

/** JSON on one or more lines; what JSON itself leaves as it is and a terminal may obey is escaped, too. */
export function escapedJson(value: unknown, indent?: number): string {
  const coded = (char: string): string =>
    char === '\n' ? char : `\\u${hex(char.charCodeAt(0), 4)}`;
  // Within its strings JSON has no line breaks: those that are there are its own.
  return JSON.stringify(value, nullForUndefined, indent).replace(UNSEEN, coded);
}

/** A field that is not known is there all the same: a script can rely on it. */
function nullForUndefined(_: string, value: unknown): unknown {
  return value === undefined ? null : value;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}

/** Columns that it takes. Wide characters take two. */
export function widthOf(text: string): number {
  let width = 0;
  for (const char of stripVTControlCharacters(text)) {
    if (/\p{M}/u.test(char)) continue;
    width += WIDE.test(char) ? 2 : 1;
  }
  return width;
}

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)));
}

export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - widthOf(text))) + text;
}

/** At most `width` columns of a text without escape sequences. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let taken = '';
  let left = width - 1;
  for (const char of text) {
    left -= widthOf(char);
    if (left < 0) break;
    taken += char;
  }
  return `${taken}…`;
}

/** Breaks a text into lines of at most `width` columns. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && widthOf(line) + 1 + widthOf(word) > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of `part` (0 to 1) of `width` columns, exact to an eighth of one. */
export function bar(part: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, part)) * width * 8);
  return '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '');
}

export function percent(part: number): string {
  return `${(part * 100).toFixed(1)} %`;
}

export function count(number: number): string {
  return Math.round(number).toLocaleString('en-US');
}

/** `count nouns`, with the noun as the number wants it. */
export function many(number: number, noun: string): string {
  return `${count(number)} ${noun}${number === 1 ? '' : 's'}`;
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** By 1024, as Redis counts its memory. */
export function bytes(number: number): string {
  let unit = 0;
  let left = number;
  while (left >= 1024 && unit < UNITS.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? left : left.toFixed(left < 10 ? 1 : 0)} ${UNITS[unit] ?? ''}`;
}

/** A time as short as it stays true: `0.42 ms`, `12 ms`, `3.4 s`, `5 min`, `2 h`, `4 d`. */
export function time(ms: number): string {
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} d`;
}

const NAMES = new Intl.Collator('en', { numeric: true });

/** In the order in which a person looks for them: cache-2 before cache-10, and last who is leaving. */
export function inOrder<T extends { readonly id: string; readonly weight?: number }>(
  nodes: readonly T[],
): T[] {
  const isLeaving = ({ weight }: T): number => (weight === 0 ? 1 : 0);
  return nodes.toSorted((a, b) => isLeaving(a) - isLeaving(b) || NAMES.compare(a.id, b.id));
}

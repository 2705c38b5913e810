/** Colours, widths and small pictures made of characters. */
import { stripVTControlCharacters, styleText } from 'node:util';

export type Format = Parameters<typeof styleText>[0];
export type Paint = (format: Format, text: string) => string;

/** Whether a person at this stream sees colours: NO_COLOR and FORCE_COLOR are honoured. */
export function hasColour(stream: NodeJS.WriteStream): boolean {
  return styleText('red', '', { stream }) !== '';
}

export function paintWith(colour: boolean): Paint {
  if (!colour) return (_format, text) => text;
  return (format, text) => styleText(format, text, { validateStream: false });
}

/** Columns that it takes; everything that the demo prints is one column wide. */
export function widthOf(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)));
}

export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - widthOf(text))) + text;
}

/** At most `width` columns, escape sequences kept. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let left = width - 1;
  let result = '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
  for (const part of text.split(/(\x1b\[[0-9;]*m)/)) {
    if (part.startsWith('\x1b')) result += part;
    else {
      const taken = [...part].slice(0, left);
      left -= taken.length;
      result += taken.join('');
    }
  }
  return `${result}…`;
}

/** Breaks a text into lines of at most `width` columns. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of `share` of `width` columns, exact to an eighth of one. */
export function bar(share: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * width * 8);
  return '█'.repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8];
}

const HEIGHTS = '▁▂▃▄▅▆▇█';

/** One character of a curve; `share` from 0 to 1. */
export function spark(share: number): string {
  const step = Math.round(Math.min(1, Math.max(0, share)) * (HEIGHTS.length - 1));
  return HEIGHTS[step]!;
}

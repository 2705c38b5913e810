/** How results look: tables for people, one JSON document for programs. */

export type Cell = string | number | boolean;

export interface Column {
  readonly key: string;
  readonly head: string;
  /** Digits after the point. @default 0 */
  readonly digits?: number;
  /** Multiplies by 100 and adds a percent sign. The JSON keeps the plain number. */
  readonly percent?: boolean;
}

export interface Table {
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Readonly<Record<string, Cell>>[];
}

/** The table in aligned columns: text to the left, numbers to the right. */
export function formatTable(table: Table): string {
  const texts = table.rows.map((row) =>
    table.columns.map((column) => formatCell(row[column.key], column)),
  );
  const widths = table.columns.map((column, i) =>
    Math.max(column.head.length, ...texts.map((row) => row[i]!.length)),
  );
  const toRight = table.columns.map((column) => isNumeric(table, column));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (toRight[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [
    table.title,
    line(table.columns.map((column) => column.head)),
    line(widths.map((width) => '─'.repeat(width))),
    ...texts.map(line),
  ].join('\n');
}

/** Whether a column has numbers only, and stands to the right. */
export function isNumeric(table: Table, { key }: Column): boolean {
  return table.rows.every((row) => typeof row[key] !== 'string' || row[key] === '');
}

export function formatCell(value: Cell | undefined, column: Column): string {
  if (value === undefined) return '';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'string') return value;
  const text = (column.percent ? value * 100 : value).toLocaleString('en-US', {
    minimumFractionDigits: column.digits ?? 0,
    maximumFractionDigits: column.digits ?? 0,
  });
  return column.percent ? `${text} %` : text;
}

/** Breaks a text into lines of at most `width` characters. */
export function wrap(text: string, width = 100): string {
  let line = '';
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].join('\n');
}

/** Tables that fit: the least important columns go first when there is no room for all. */
import type { Format, Screen } from './screen.ts';
import { cut, escaped, padEnd, padStart, widthOf } from './text.ts';

export interface Column {
  readonly title: string;
  /** Numbers. */
  readonly right?: boolean;
  /** Wide enough for what may come, so that a redrawn table does not jump. */
  readonly least?: number;
  /** The higher, the earlier it is left out; without it, never. */
  readonly spare?: number;
}

/** Plain text, which is escaped here, and how it looks. */
export type Cell = string | { readonly text: string; readonly format: Format };

const GAP = '  ';

/** The lines of a table, its titles first. Every row has a cell for every column. */
export function table(
  screen: Screen,
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
): string[] {
  const texts = rows.map((row) => row.map((cell) => escaped(textOf(cell))));
  const widths = columns.map(({ title, least = 0 }, at) =>
    Math.max(least, widthOf(title), ...texts.map((row) => widthOf(row[at] ?? ''))),
  );
  const shown = fitted(columns, widths, screen.tableWidth);
  const line = (cells: readonly string[], paint: (at: number, text: string) => string): string =>
    shown
      .map((at) => {
        const text = cut(cells[at] ?? '', widths[at]!);
        const painted = paint(at, text);
        return columns[at]?.right ? padStart(painted, widths[at]!) : padEnd(painted, widths[at]!);
      })
      .join(GAP)
      .trimEnd();
  return [
    line(
      columns.map(({ title }) => title),
      (_, text) => (text === '' ? text : screen.paint('dim', text)),
    ),
    ...rows.map((row, i) =>
      line(texts[i]!, (at, text) => {
        const cell = row[at] ?? '';
        return typeof cell === 'string' || text === '' ? text : screen.paint(cell.format, text);
      }),
    ),
  ];
}

/** Which columns are shown; the widest text column gives way at the end. Changes `widths`. */
function fitted(columns: readonly Column[], widths: number[], most: number): number[] {
  let shown = columns.map((_, at) => at);
  const total = (): number =>
    shown.reduce((sum, at) => sum + widths[at]!, GAP.length * (shown.length - 1));
  while (total() > most) {
    const spare = shown
      .filter((at) => columns[at]?.spare !== undefined)
      .toSorted((a, b) => (columns[b]?.spare ?? 0) - (columns[a]?.spare ?? 0));
    if (spare.length === 0) break;
    shown = shown.filter((at) => at !== spare[0]);
  }
  const texts = shown
    .filter((at) => !columns[at]?.right)
    .toSorted((a, b) => widths[b]! - widths[a]!);
  const [widest] = texts;
  if (widest !== undefined)
    widths[widest] = Math.max(8, widths[widest]! - Math.max(0, total() - most));
  return shown;
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell.text;
}

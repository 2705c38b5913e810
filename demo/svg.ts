/**
 * Coloured terminal lines as an SVG image: a dark window of its own, so that it
 * is legible on a light page and on a dark one.
 */
import { widthOf } from './paint.ts';

const CELL = { width: 8.4, height: 19 } as const;
const MARGIN = 18;
const WINDOW = { fill: '#0d1117', edge: '#30363d', text: '#e6edf3', dim: '#8b949e' } as const;

/** The colours that the demo uses, by their SGR number. */
const COLOURS: Readonly<Record<number, string>> = {
  31: '#f85149',
  32: '#3fb950',
  33: '#d29922',
  34: '#58a6ff',
  36: '#39c5cf',
};
const RESET = { all: 0, weight: 22, colour: 39 } as const;
const BOLD = 1;
const DIM = 2;

interface Style {
  readonly colour: string | undefined;
  readonly bold: boolean;
  readonly dim: boolean;
}

const PLAIN: Style = { colour: undefined, bold: false, dim: false };

/** @param title Read out to those who do not see the image. */
export function svgOf(lines: readonly string[], title: string): string {
  const columns = Math.max(...lines.map(widthOf));
  const width = Math.ceil(columns * CELL.width + 2 * MARGIN);
  const height = Math.ceil(lines.length * CELL.height + 2 * MARGIN);
  const runs = lines.flatMap((line, row) => lineRuns(line, MARGIN + (row + 0.75) * CELL.height));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8" fill="${WINDOW.fill}" stroke="${WINDOW.edge}"/>`,
    `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" xml:space="preserve">`,
    ...runs,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

/** Every run of one style stands where its column is, whatever the font's own widths are. */
function lineRuns(line: string, y: number): string[] {
  const runs: string[] = [];
  let style = PLAIN;
  let column = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
  for (const part of line.split(/(\x1b\[[0-9;]*m)/)) {
    if (part.startsWith('\x1b')) {
      for (const code of part.slice(2, -1).split(';')) style = styled(style, Number(code));
      continue;
    }
    const length = [...part].length;
    if (part.trim() !== '') {
      const x = (MARGIN + column * CELL.width).toFixed(1);
      const fill = style.colour ?? (style.dim ? WINDOW.dim : WINDOW.text);
      const weight = style.bold ? ' font-weight="bold"' : '';
      const fit = `textLength="${(length * CELL.width).toFixed(1)}" lengthAdjust="spacingAndGlyphs"`;
      runs.push(
        `<text x="${x}" y="${y.toFixed(1)}" ${fit} fill="${fill}"${weight}>${escaped(part)}</text>`,
      );
    }
    column += length;
  }
  return runs;
}

function styled(style: Style, code: number): Style {
  if (code === RESET.all) return PLAIN;
  if (code === BOLD) return { ...style, bold: true };
  if (code === DIM) return { ...style, dim: true };
  if (code === RESET.weight) return { ...style, bold: false, dim: false };
  if (code === RESET.colour) return { ...style, colour: undefined };
  return { ...style, colour: COLOURS[code] ?? style.colour };
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/**
 * Where it is shown: on a terminal a few lines that are redrawn in place below
 * what stays; elsewhere plain lines, one a second.
 */
import { frame, type Progress, plainLine } from './frame.ts';
import type { View } from './monitor.ts';
import { cut, hasColour, paintWith, widthOf } from './paint.ts';
import type { Look } from './report.ts';

const WIDTH = { least: 50, most: 120, plain: 110 } as const;
const PLAIN_EVERY_MS = 1_000;
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';
const CLEAR_BELOW = '\x1b[0J';

export class Screen {
  readonly #stream: NodeJS.WriteStream;
  readonly #live: boolean;
  readonly #colour: boolean;
  readonly #startedAt = performance.now();
  /** What stands at the bottom now and is to be replaced. */
  #drawn: string[] = [];
  #plainAt = Number.NEGATIVE_INFINITY;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.#live = stream.isTTY;
    this.#colour = hasColour(stream);
    if (this.#live) {
      stream.write(HIDE_CURSOR);
      // However it ends: a terminal without a cursor is a nuisance.
      process.once('exit', () => stream.write(SHOW_CURSOR));
    }
  }

  get look(): Look {
    return { width: this.#width, paint: paintWith(this.#colour) };
  }

  /** Lines that stay. */
  print(lines: readonly string[]): void {
    const text = lines.map((line) => `${line}\n`).join('');
    this.#stream.write(this.#erase() + text);
    this.#drawn = [];
  }

  show(view: View, progress: Progress): void {
    if (!this.#live) {
      this.#showPlain(view);
      return;
    }
    const rows = (this.#stream.rows || 24) - 1;
    const lines = frame(view, progress, this.look)
      .slice(0, rows)
      .map((line) => cut(line, this.#width));
    this.#stream.write(`${this.#erase()}${lines.join('\n')}\n`);
    this.#drawn = lines;
  }

  #showPlain(view: View): void {
    const now = performance.now();
    if (now - this.#plainAt < PLAIN_EVERY_MS) return;
    this.#plainAt = now;
    this.#stream.write(`${plainLine(view, (now - this.#startedAt) / 1_000)}\n`);
  }

  get #width(): number {
    if (!this.#live) return WIDTH.plain;
    // The last column stays free: some terminals break the line when it is used.
    const columns = (this.#stream.columns || 80) - 1;
    return Math.max(WIDTH.least, Math.min(WIDTH.most, columns));
  }

  #erase(): string {
    if (this.#drawn.length === 0) return '';
    const columns = this.#stream.columns || 80;
    // In a window that has been made narrower, lines take more rows than before.
    const rows = this.#drawn.reduce(
      (sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / columns)),
      0,
    );
    return `\x1b[${rows}A\r${CLEAR_BELOW}`;
  }
}

/** How far the copying is: a bar that is redrawn on a terminal, a line now and then elsewhere. */
import type { Screen } from './screen.ts';
import { bar, count, padEnd, padStart } from './text.ts';

export interface Progress {
  scanned: number;
  copied: number;
  total: number;
}

const REDRAW_MS = 100;
const LINE_MS = 2_000;
const BAR_WIDTH = 30;

export class ProgressBar {
  readonly #screen: Screen;
  readonly #startedAt = performance.now();
  #drawnAt: number;
  #drawn = false;
  #toldAt = performance.now();

  constructor(screen: Screen) {
    this.#screen = screen;
    // A line in a log only for what takes its time.
    this.#drawnAt = screen.isTerminal ? Number.NEGATIVE_INFINITY : this.#startedAt;
  }

  update(progress: Readonly<Progress>): void {
    const now = performance.now();
    this.#toldAt = now;
    const everyMs = this.#screen.isTerminal ? REDRAW_MS : LINE_MS;
    if (now - this.#drawnAt < everyMs) return;
    this.#drawnAt = now;
    this.#draw(progress);
  }

  /** Since the last step of the copying. */
  get quietMs(): number {
    return performance.now() - this.#toldAt;
  }

  /** A line of its own. */
  note(line: string): void {
    this.end();
    this.#screen.print(line);
  }

  /** Leaves the cursor at the beginning of an empty line. */
  end(): void {
    if (this.#drawn && this.#screen.isTerminal) this.#screen.write('\r\x1b[K');
    this.#drawn = false;
  }

  #draw({ scanned, copied, total }: Readonly<Progress>): void {
    const screen = this.#screen;
    // Keys of other namespaces are in `total`, too, and new ones may have come since.
    const part = total === 0 ? 0 : Math.min(1, scanned / total);
    const seconds = Math.max(0.001, (performance.now() - this.#startedAt) / 1_000);
    const told =
      `${count(scanned)} of ${count(total)} keys, ${count(copied)} copied, ` +
      `${count(scanned / seconds)}/s`;
    const percent = `${Math.floor(part * 100)} %`;
    if (!screen.isTerminal) {
      screen.print(`${percent}: ${told}`);
      return;
    }
    const drawn = screen.paint('cyan', padEnd(bar(part, BAR_WIDTH), BAR_WIDTH));
    const line = `${drawn} ${padStart(percent, 5)}  ${told}`;
    const short = `${drawn} ${padStart(percent, 5)}`;
    const fits = BAR_WIDTH + 8 + told.length < screen.width;
    screen.write(`\r\x1b[K${fits ? line : short}`);
    this.#drawn = true;
  }
}

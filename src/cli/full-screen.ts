/** The whole terminal, for a view that is redrawn in place; as it was before when it is left. */
import type { Screen } from './screen.ts';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

/** q, and Ctrl-C and Ctrl-D as they come from a raw terminal. */
const ENDS = ['q', 'Q', '\x03', '\x04'];

type Draw = (width: number) => string[];

export class FullScreen {
  readonly #screen: Screen;
  readonly #leave = (): void => this.leave();
  readonly #redraw = (): void => this.#draw();
  #typed: (data: Buffer) => void = () => undefined;
  #unlisten: (() => void) | undefined;
  #last: Draw | undefined;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  /** @param ended Called when q or Ctrl-C is typed. */
  enter(ended: () => void): void {
    this.#screen.write(ENTER);
    this.#unlisten = this.#screen.onResize(this.#redraw);
    process.once('exit', this.#leave);
    this.#typed = (data) => {
      const typed = data.toString('latin1');
      if (ENDS.some((end) => typed.includes(end))) ended();
    };
    const { stdin } = process;
    if (!stdin.isTTY) return;
    // What is typed is not to be seen in the middle of the view; Ctrl-C comes as a character then.
    stdin.setRawMode(true);
    stdin.on('data', this.#typed);
    stdin.resume();
  }

  show(draw: Draw): void {
    this.#last = draw;
    this.#draw();
  }

  /** Idempotent. */
  leave(): void {
    if (this.#unlisten === undefined) return;
    this.#unlisten();
    this.#unlisten = undefined;
    process.off('exit', this.#leave);
    const { stdin } = process;
    if (stdin.isTTY) {
      stdin.setRawMode(false);
      stdin.off('data', this.#typed);
      stdin.pause();
    }
    this.#screen.write(LEAVE);
  }

  #draw(): void {
    if (this.#last === undefined) return;
    const { width, height } = this.#screen;
    const lines = this.#last(width).slice(0, height);
    const text = lines.map((line) => `${line}${CLEAR_LINE}`).join('\n');
    this.#screen.write(`${HOME}${text}${CLEAR_BELOW}`);
  }
}

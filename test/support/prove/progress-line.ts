/** How far a run is: a bar on a terminal, elsewhere a plain line every ten seconds. */
import { bar } from '../../../demo/paint.ts';

const BAR_WIDTH = 30;
const PLAIN_EVERY_MS = 10_000;
const CLEAR = '\r\x1b[K';

export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  #name = '';
  #startedAt = 0;
  #plainAt = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  begin(name: string): void {
    this.#name = name;
    this.#startedAt = performance.now();
    this.#plainAt = this.#startedAt;
    if (!this.#stream.isTTY) this.#stream.write(`${name} …\n`);
  }

  /** @param share 0 to 1. */
  show(share: number, what: string): void {
    const now = performance.now();
    const text = `${what}, ${Math.round((now - this.#startedAt) / 1_000)} s`;
    if (this.#stream.isTTY) {
      const done = bar(Math.min(1, share), BAR_WIDTH).padEnd(BAR_WIDTH);
      this.#stream.write(`${CLEAR}${this.#name.padEnd(16)}${done} ${text}`);
    } else if (now - this.#plainAt >= PLAIN_EVERY_MS) {
      this.#plainAt = now;
      this.#stream.write(`${this.#name}: ${text}\n`);
    }
  }

  end(): void {
    if (this.#stream.isTTY) this.#stream.write(CLEAR);
  }
}

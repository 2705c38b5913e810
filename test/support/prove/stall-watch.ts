/**
 * When this process did not get to run: its event loop was blocked, it was
 * stopped, or the machine gave the processor to others. What was late for that
 * reason was not late because of what is to be proved.
 */
import { nowMs } from './diary.ts';

const EVERY_MS = 5;
/** Later than this is a stall. */
const LATE_MS = 8;
const KEPT = 500;

export interface Stall {
  readonly from: number;
  readonly to: number;
}

export class StallWatch {
  readonly #stalls: Stall[] = [];
  #lastAt = nowMs();
  #longestMs = 0;
  readonly #told: (stall: Stall) => void;

  /** @param told Each, when it is over. */
  constructor(told: (stall: Stall) => void = () => {}) {
    this.#told = told;
    setInterval(() => this.#tick(), EVERY_MS).unref();
  }

  get longestMs(): number {
    return this.#longestMs;
  }

  /** Milliseconds of the time from `from` until now in which nothing could run. */
  since(from: number): number {
    const to = nowMs();
    const open = to - this.#lastAt > LATE_MS ? [{ from: this.#lastAt, to }] : [];
    return [...this.#stalls, ...open].reduce(
      (sum, stall) => sum + Math.max(0, stall.to - Math.max(stall.from, from)),
      0,
    );
  }

  #tick(): void {
    const now = nowMs();
    const gapMs = now - this.#lastAt;
    if (gapMs > LATE_MS) {
      this.#stalls.push({ from: this.#lastAt, to: now });
      if (this.#stalls.length > KEPT) this.#stalls.shift();
      this.#longestMs = Math.max(this.#longestMs, gapMs);
      this.#told({ from: this.#lastAt, to: now });
    }
    this.#lastAt = now;
  }
}

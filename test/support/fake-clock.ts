/** Time that stands still until a test moves it. */
import type { Clock, Timer } from '../../src/clock.ts';

interface Due {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class FakeClock implements Clock {
  #now: number;
  #wallOffset = 0;
  #order = 0;
  readonly #timers = new Set<Due>();
  #soon: (() => void)[] = [];

  constructor(startMs = 0) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#now + this.#wallOffset;
  }

  /** Sets the host's time on (or back) without any time passing. */
  jump(ms: number): void {
    this.#wallOffset += ms;
  }

  after(delayMs: number, run: () => void): Timer {
    this.#order += 1;
    const due = { at: this.#now + Math.max(0, delayMs), order: this.#order, run };
    this.#timers.add(due);
    return { cancel: () => this.#timers.delete(due) };
  }

  soon(run: () => void): void {
    this.#soon.push(run);
  }

  /** Time passes, and this process runs nothing meanwhile. */
  block(ms: number): void {
    this.#now += ms;
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#timers.size;
  }

  /**
   * Moves time on; runs what becomes due, in order, and lets promises settle
   * in between, so that what they start is due, too.
   */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await this.settle();
      const next = this.#next();
      if (next === undefined || next.at > end) break;
      this.#now = next.at;
      // As in the event loop: all that are due, then I/O and what is to run soon.
      for (let due = this.#next(); due !== undefined && due.at <= this.#now; due = this.#next()) {
        this.#timers.delete(due);
        due.run();
      }
    }
    this.#now = Math.max(this.#now, end);
  }

  /** Lets promises settle and runs what is to run soon, until nothing is left of both. */
  async settle(): Promise<void> {
    do {
      // A turn of the real event loop: every microtask has run by then.
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      const soon = this.#soon;
      this.#soon = [];
      for (const run of soon) run();
    } while (this.#soon.length > 0);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }

  #next(): Due | undefined {
    let next: Due | undefined;
    for (const due of this.#timers) {
      if (
        next === undefined ||
        due.at < next.at ||
        (due.at === next.at && due.order < next.order)
      ) {
        next = due;
      }
    }
    return next;
  }
}

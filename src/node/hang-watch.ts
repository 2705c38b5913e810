/**
 * Notices a connection that hangs: requests are unanswered, and not a byte has
 * come for as long as is allowed. TCP alone would take minutes to.
 *
 * Counted in beats, each after the I/O of its turn: an event loop that was
 * blocked for longer than the limit is one beat, not a hang (ioredis' own
 * `socketTimeout` would cut the connection before it reads what is there).
 */
import type { Clock, Timer } from '../clock.ts';

const BEATS = 3;

export class HangWatch {
  readonly #clock: Clock;
  readonly #beatMs: number;
  readonly #line: { bytesRead(): number; waiting(): boolean; cut(): void };
  #timer: Timer | undefined;
  #seen = 0;
  #silent = 0;

  constructor(
    clock: Clock,
    limitMs: number,
    line: { bytesRead(): number; waiting(): boolean; cut(): void },
  ) {
    this.#clock = clock;
    this.#beatMs = limitMs / BEATS;
    this.#line = line;
  }

  /** Called whenever something is sent. Watches until nothing is waited for. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.#seen = this.#line.bytesRead();
    this.#silent = 0;
    this.#arm();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    const timer = this.#clock.after(this.#beatMs, () => {
      this.#clock.soon(() => {
        if (this.#timer === timer) this.#beat();
      });
    });
    this.#timer = timer;
  }

  #beat(): void {
    this.#timer = undefined;
    if (!this.#line.waiting()) return;
    const seen = this.#line.bytesRead();
    this.#silent = seen === this.#seen ? this.#silent + 1 : 0;
    this.#seen = seen;
    if (this.#silent >= BEATS) this.#line.cut();
    else this.#arm();
  }
}

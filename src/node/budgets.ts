/**
 * The budgets of all that is under way to one node. They are equally long, so
 * what was sent first is over first, and one timer does for all of them.
 *
 * Most requests are answered long before: the timer is left running when they
 * are, and looks at what is under way then. Set and cancelled for each turn it
 * costs a request that travels alone a list of timers made and thrown away (D49).
 */
import type { Clock, Timer } from '../clock.ts';

export interface Spender {
  /** By `clock.now()`. */
  readonly sentAt: number;
  /** Its time is over. */
  expire(): void;
}

export class Budgets<T extends Spender> {
  readonly #clock: Clock;
  readonly #ms: number;
  /** In the order in which they were sent. */
  readonly #underWay = new Set<T>();
  #timer: Timer | undefined;

  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  add(spender: T): void {
    this.#underWay.add(spender);
    if (this.#timer === undefined) this.#arm(this.#ms);
  }

  /** It is finished; false when it was before. */
  delete(spender: T): boolean {
    return this.#underWay.delete(spender);
  }

  /** Gives up waiting: returns what is under way, and leaves no timer. */
  end(): T[] {
    this.#timer?.cancel();
    this.#timer = undefined;
    return [...this.#underWay];
  }

  #arm(ms: number): void {
    const timer = this.#clock.after(ms, () => {
      // The loop may have been blocked while the answers came: they are read first. The time
      // is that of the timer: what is over only after it has had no such chance yet.
      const now = this.#clock.now();
      this.#clock.soon(() => {
        if (this.#timer === timer) this.#expire(now);
      });
    });
    this.#timer = timer;
  }

  #expire(now: number): void {
    this.#timer = undefined;
    for (const spender of this.#underWay) {
      const end = spender.sentAt + this.#ms;
      if (end > now) {
        this.#arm(Math.max(0, end - this.#clock.now()));
        return;
      }
      spender.expire();
    }
  }
}

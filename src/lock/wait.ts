/**
 * Waiting for a lock: in line within this process, for news from the node, and
 * never longer than was said.
 *
 * Only the head of the line of a name asks the nodes: what one process wants of
 * a lock costs a node as much for a thousand callers as for one.
 */
import type { Clock, Timer } from '../clock.ts';

/** Beyond this a timer would fire at once; nobody waits for 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

interface Line<News> {
  readonly waiting: (() => void)[];
  news: News | undefined;
}

/**
 * Those of this process who want a lock, a line for each name.
 *
 * @typeParam News What the head of a line was told by the nodes.
 */
export class Lines<News> {
  readonly #lines = new Map<string, Line<News>>();

  /** Undefined: at the head already. Otherwise resolves when it is. Every one that enters must leave. */
  enter(name: string): { readonly turn: Promise<void>; leave(): void } | undefined {
    const line = this.#lines.get(name);
    if (line === undefined) {
      this.#lines.set(name, { waiting: [], news: undefined });
      return undefined;
    }
    const { waiting } = line;
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push(resolve);
    return {
      turn: promise,
      leave: () => {
        const at = waiting.indexOf(resolve);
        if (at >= 0) waiting.splice(at, 1);
        // It had its turn already.
        else this.leave(name);
      },
    };
  }

  /** The head goes; the next one is the head. */
  leave(name: string): void {
    const line = this.#lines.get(name);
    const next = line?.waiting.shift();
    if (next === undefined) this.#lines.delete(name);
    else next();
  }

  /** The head was told this. */
  tell(name: string, news: News): void {
    const line = this.#lines.get(name);
    if (line !== undefined) line.news = news;
  }

  /** What the head was told last; undefined: nothing so far. */
  news(name: string): News | undefined {
    return this.#lines.get(name)?.news;
  }
}

interface Expected {
  /** It was told, and nobody has waited since. */
  woken: boolean;
  notify: (() => void) | undefined;
}

/** Who is to be told that a lock was reserved, by token. */
export class Wakes {
  readonly #expected = new Map<string, Expected>();
  #listening = false;

  /** Messages may come from now on. */
  listen(): void {
    this.#listening = true;
  }

  /**
   * From now until `forget` a message for the token is for somebody: who asks for a
   * lock, or has it. Has no effect while nothing is listened for.
   */
  expect(token: string): void {
    if (!this.#listening || this.#expected.has(token)) return;
    this.#expected.set(token, { woken: false, notify: undefined });
  }

  forget(token: string): void {
    if (this.#listening) this.#expected.delete(token);
  }

  /** Resolves when it is told, or after `ms`. Never rejects; `cancel` lets it resolve at once. */
  wait(clock: Clock, token: string, ms: number): { readonly woken: Promise<void>; cancel(): void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const expected = this.#expected.get(token);
    const done = (): void => {
      timer.cancel();
      if (expected !== undefined) {
        expected.woken = false;
        expected.notify = undefined;
      }
      resolve();
    };
    const timer = clock.after(ms, done);
    if (expected?.woken === true) done();
    else if (expected !== undefined) expected.notify = done;
    return { woken: promise, cancel: done };
  }

  /** Whether the message was for somebody. If not, the lock is reserved for nobody. */
  wake(token: string): boolean {
    const expected = this.#expected.get(token);
    if (expected === undefined) return false;
    expected.woken = true;
    expected.notify?.();
    return true;
  }
}

/**
 * How long somebody is ready to wait: until a deadline, an abort, or the end
 * of the locks, whichever comes first.
 */
export class Patience {
  readonly #timer: Timer | undefined;
  readonly #signal: AbortSignal | undefined;
  #interrupt: ((why: unknown) => void) | undefined;
  #why: unknown;
  #over = false;
  #settled = false;

  /** @param late Makes the error of the deadline. */
  constructor(
    clock: Clock,
    bounds: { readonly waitMs: number; readonly signal: AbortSignal | undefined },
    late: () => unknown,
  ) {
    const { waitMs, signal } = bounds;
    this.#timer =
      waitMs > MAX_TIMER_MS
        ? undefined
        : // An answer that came while this process was busy is in time.
          clock.after(waitMs, () => clock.soon(() => this.end(late())));
    this.#signal = signal;
    signal?.addEventListener('abort', this.#aborted, { once: true });
    if (signal?.aborted === true) this.#aborted();
  }

  /** Whether it was interrupted. */
  get over(): boolean {
    return this.#over;
  }

  /** Settles as `work` does, or rejects with why the wait is over. `work` must not reject. */
  while<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#over) return reject(this.#why);
      this.#interrupt = reject;
      void work.then(resolve);
    });
  }

  end(why: unknown): void {
    // The deadline may be under way to here when the answer comes that is in time.
    if (this.#over || this.#settled) return;
    this.#over = true;
    this.#why = why;
    this.#interrupt?.(why);
    this.settle();
  }

  /** Nothing is waited for any more: no timer and no listener is left. */
  settle(): void {
    this.#settled = true;
    this.#timer?.cancel();
    this.#interrupt = undefined;
    this.#signal?.removeEventListener('abort', this.#aborted);
  }

  readonly #aborted = (): void => this.end(this.#signal?.reason);
}

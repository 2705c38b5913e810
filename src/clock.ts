/**
 * Time, as the rest of the code sees it: the only timers of the library, so
 * that a test can pass another clock instead of sleeping.
 */

export interface Timer {
  /** Idempotent; after it the callback does not run. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds with a fraction. Only differences mean something. */
  now(): number;
  /**
   * Milliseconds since 1970 as the host tells them: may jump, and goes on while
   * the host sleeps, when the monotonic time may stand still.
   */
  wall(): number;
  /** Runs `run` once, not earlier than in `delayMs`. The timer does not keep the process alive. */
  after(delayMs: number, run: () => void): Timer;
  /** Runs `run` after the I/O of this turn of the event loop. */
  soon(run: () => void): void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  soon(run) {
    setImmediate(run);
  },
};

/**
 * Settles as `work` does, or rejects with `late()` after `ms`. What came while
 * the event loop was blocked is in time. `work` goes on, and may reject unseen.
 */
export function within<T>(
  work: Promise<T>,
  ms: number,
  bound: { readonly clock: Clock; readonly late: () => Error },
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = bound.clock.after(Math.max(0, ms), () => {
      bound.clock.soon(() => reject(bound.late()));
    });
    work.then(resolve, reject).finally(() => timer.cancel());
  });
}

/** Resolves in `delayMs`, or at once when `signal` aborts; never rejects. */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}

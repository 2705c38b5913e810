/** A bound on how long a promise is waited for. */
import type { Clock } from '../clock.ts';

/**
 * Settles as `work` does, or rejects with `late()` after `ms`. What came while
 * the event loop was blocked is in time. `work` goes on and may reject unseen.
 */
export function within<T>(
  work: Promise<T>,
  ms: number,
  bound: { clock: Clock; late: () => Error },
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = bound.clock.after(ms, () => bound.clock.soon(() => reject(bound.late())));
    work.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}

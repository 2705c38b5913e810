/** Waits for a fact, instead of sleeping and hoping. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface EventuallyOptions {
  /** @default 5000 */
  readonly withinMs?: number;
  /** @default 5 */
  readonly everyMs?: number;
}

/**
 * Calls `fact` until it neither throws nor answers `false`, and resolves to
 * its answer. Takes an assertion or a condition:
 *
 * ```ts
 * await eventually(() => expect(stats().loads).toBe(1));
 * await eventually(() => !isRunning(pid), { withinMs: 1000 });
 * ```
 *
 * When the time is up: rejects with what `fact` threw last.
 */
export async function eventually<T>(
  fact: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<T> {
  const { withinMs = 5_000, everyMs = 5 } = options;
  const end = performance.now() + withinMs;
  for (;;) {
    let failure: unknown;
    try {
      const answer = await fact();
      if (answer !== false) return answer;
      failure = new Error(`still false after ${withinMs} ms: ${fact.toString().slice(0, 200)}`);
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= end) throw failure;
    await sleep(everyMs);
  }
}

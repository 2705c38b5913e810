/**
 * Until when a lock is certainly ours.
 *
 * Counted from just before the request was sent, since the server may have
 * acted at any time after; minus what two clocks may drift apart. By the larger
 * of monotonic and wall time: the first is not set back, the second goes on
 * while the host sleeps. A wall clock that jumps ahead only ends a lock early.
 * (Redlock's validity, redis.io/docs, "Distributed Locks with Redis".)
 */
import type { Clock } from '../clock.ts';

/** 1 % and 2 ms, as redlock has it: far beyond what crystals differ by. */
const DRIFT = 0.01;
const DRIFT_MS = 2;

/** When a request was sent, by both clocks. */
export interface Moment {
  readonly monotonic: number;
  readonly wall: number;
}

export function momentOf(clock: Clock): Moment {
  return { monotonic: clock.now(), wall: clock.wall() };
}

export function elapsedMs(clock: Clock, since: Moment): number {
  return Math.max(clock.now() - since.monotonic, clock.wall() - since.wall);
}

export interface Validity {
  readonly since: Moment;
  readonly ttlMs: number;
}

/** Whole milliseconds; 0 when it is over. */
export function remainingMs(clock: Clock, { since, ttlMs }: Validity): number {
  const certainMs = ttlMs - (Math.ceil(ttlMs * DRIFT) + DRIFT_MS);
  return Math.max(0, Math.floor(certainMs - elapsedMs(clock, since)));
}

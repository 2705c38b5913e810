/**
 * Deletes that no node has confirmed: kept here, bounded, and done as soon as
 * the node can be used, before anything else is asked of it. They are safe to
 * repeat and to do late: at worst a newer value is missed once.
 *
 * Lives in this process only: what others have to know of them, and what is
 * lost with it, is noted at other nodes (guard-node.ts) and the topology's
 * concern.
 */
import type { Clock, Timer } from '../clock.ts';

const MAX_KEYS = 10_000;
/** In one step: less than a millisecond of a server that has others to serve. */
const KEYS_AT_ONCE = 500;
const FIRST_RETRY_MS = 200;
const MAX_RETRY_MS = 5_000;

export interface RemovalHost {
  readonly clock: Clock;
  /** Whether the node may be asked now. */
  usable(): boolean;
  /** Removes values and leases of a node in use. */
  remove(keys: string[]): Promise<unknown>;
  confirmed(key: string): void;
  /** It has not been confirmed, and is not tried again. */
  gaveUp?(key: string): void;
  /** The oldest had to be given up for a new one. */
  overflowed(limit: number): void;
}

/** What is sent at once of a long list. */
export function inPieces<T>(all: readonly T[]): T[][] {
  const pieces: T[][] = [];
  for (let at = 0; at < all.length; at += KEYS_AT_ONCE) {
    pieces.push(all.slice(at, at + KEYS_AT_ONCE));
  }
  return pieces;
}

interface Removal {
  readonly untilMs: number;
}

export class Removals {
  readonly #host: RemovalHost;
  readonly #waiting = new Map<string, Removal>();
  #timer: Timer | undefined;
  #retryMs = FIRST_RETRY_MS;
  #trying = false;
  #ended = false;

  constructor(host: RemovalHost) {
    this.#host = host;
  }

  get count(): number {
    return this.#waiting.size;
  }

  /** @param forMs After that the value has expired by itself. */
  add(key: string, forMs: number): void {
    if (this.#ended) return;
    // Again and later: at the end, with its new bound.
    this.#waiting.delete(key);
    this.#waiting.set(key, { untilMs: this.#host.clock.now() + forMs });
    if (this.#waiting.size > MAX_KEYS) {
      const [oldest = ''] = this.#waiting.keys();
      this.#giveUp(oldest);
      this.#host.overflowed(MAX_KEYS);
    }
    this.#try();
  }

  /** Does all that wait, with `remove`; rejects when it does. */
  async replay(remove: (keys: string[]) => Promise<unknown>): Promise<void> {
    for (;;) {
      const batch = this.#next();
      if (batch.length === 0) return;
      await remove(batch.map(([key]) => key));
      for (const [key, removal] of batch) {
        // Added again meanwhile: that one may be later than what was removed.
        if (this.#waiting.get(key) !== removal) continue;
        this.#waiting.delete(key);
        this.#host.confirmed(key);
      }
    }
  }

  end(): void {
    this.#ended = true;
    this.#timer?.cancel();
    this.#waiting.clear();
  }

  #giveUp(key: string): void {
    this.#waiting.delete(key);
    this.#host.gaveUp?.(key);
  }

  #next(): [string, Removal][] {
    const now = this.#host.clock.now();
    const batch: [string, Removal][] = [];
    for (const [key, removal] of this.#waiting) {
      if (removal.untilMs <= now) this.#giveUp(key);
      else if (batch.push([key, removal]) === KEYS_AT_ONCE) break;
    }
    return batch;
  }

  // A node that is not usable is left to its admission, which replays first.
  #try(): void {
    if (this.#trying || this.#ended || this.#waiting.size === 0 || !this.#host.usable()) return;
    this.#trying = true;
    this.#timer?.cancel();
    this.replay((keys) => this.#host.remove(keys)).then(
      () => {
        this.#trying = false;
        this.#retryMs = FIRST_RETRY_MS;
        this.#try();
      },
      () => {
        this.#trying = false;
        if (this.#ended) return;
        this.#timer = this.#host.clock.after(this.#retryMs, () => this.#try());
        this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
      },
    );
  }
}

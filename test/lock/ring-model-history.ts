/** Who held the lock when, and what must not happen. */

import type { Peer } from './ring-model-network.ts';
import type { NodeName } from './ring-model-nodes.ts';

/** One lock of one process. It is held while the holder's `remaining()` is positive. */
export class Hold {
  readonly client: Peer;
  readonly token: string;
  readonly fromMs: number;
  /** Where the lock is held, so far as its holder knows. */
  homes: readonly NodeName[];
  /** In true time: where the holder's own clock says so. */
  validUntilMs: number;
  #endedAtMs = Number.POSITIVE_INFINITY;

  constructor(
    client: Peer,
    token: string,
    granted: Pick<Hold, 'fromMs' | 'homes' | 'validUntilMs'>,
  ) {
    this.client = client;
    this.token = token;
    this.fromMs = granted.fromMs;
    this.homes = granted.homes;
    this.validUntilMs = granted.validUntilMs;
  }

  /** The holder lets go of the lock, or hears that it has lost it. */
  end(nowMs: number): void {
    this.#endedAtMs = Math.min(this.#endedAtMs, nowMs);
  }

  isHeld(nowMs: number): boolean {
    return nowMs < this.untilMs;
  }

  get untilMs(): number {
    return Math.min(this.validUntilMs, this.#endedAtMs);
  }
}

export class History {
  readonly holds: Hold[] = [];
  /**
   * How often a valid holder found a new home taken. With the old home first, it finds none:
   *
   *   holder     has A ............................. renews A, takes D
   *   newcomer           asks A: busy, and does not ask D
   */
  crowdedOut = 0;

  /** Locks that began while another process had one. */
  doubleHolds(): readonly (readonly [earlier: Hold, later: Hold])[] {
    const found: [Hold, Hold][] = [];
    let longest: Hold | undefined;
    for (const hold of this.holds.toSorted((a, b) => a.fromMs - b.fromMs)) {
      // What a process holds ends before it acquires again, so the longest is another's if it overlaps.
      if (longest !== undefined && hold.fromMs < longest.untilMs) found.push([longest, hold]);
      if (longest === undefined || hold.untilMs > longest.untilMs) longest = hold;
    }
    return found;
  }
}

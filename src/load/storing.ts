/**
 * What becomes of a loaded or copied value: stored at the owner under the
 * lease, and remembered here. Step 5 of loader.ts.
 */
import type { Clock } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import type { Arrival, OwnWrite } from '../memory/held.ts';
import type { Memory } from '../memory/memory.ts';
import type { CacheCounters } from '../metrics/metrics.ts';
import { ageOf, type Life, type Payload, type Stored } from '../node/node.ts';
import { copyKey } from '../topology/mover.ts';
import type { Topology } from '../topology/topology.ts';
import type { Flight } from './flight.ts';
import { inTime, SETTLE_ROUNDS } from './in-time.ts';
import { leaseCounts } from './lease-keeper.ts';
import type { LoadTuning } from './settings.ts';

export interface StoringParts {
  readonly clock: Clock;
  readonly topology: Topology;
  readonly memory: Memory;
  readonly counters: CacheCounters;
  readonly tuning: LoadTuning;
}

/** The right to store a key, and what had been deleted at its node when it was given. */
export interface Leased {
  readonly token: string;
  readonly seq: number;
}

export interface Filling extends Leased {
  readonly payload: Payload;
  readonly life: Life;
  readonly value: unknown;
}

/** What of an entry decides whether, and for how long, it is held in memory. */
export type Holdable = Pick<Stored, 'freshForMs' | 'bytes' | 'seq'> &
  Pick<Life, 'tags'> &
  Pick<Arrival, 'valueAgeMs'>;

export function whatHolds(stored: Stored): Holdable {
  const { freshForMs, bytes, seq, tags } = stored;
  return { freshForMs, bytes, seq, tags, valueAgeMs: ageOf(stored) };
}

export class Storing {
  readonly #parts: StoringParts;

  constructor(parts: StoringParts) {
    this.#parts = parts;
  }

  /** Stores under the lease, and remembers what was stored. A node that fails here costs the storing only. */
  async fill(flight: Flight, entry: Filling): Promise<void> {
    const { clock, counters, memory, topology, tuning } = this.#parts;
    const { token, payload, life, value, seq } = entry;
    const leasedIn = { stamp: flight.snapshot.epoch };
    for (let round = 0; round < SETTLE_ROUNDS; round++) {
      const { snapshot, owner, key, budget } = flight;
      const { fence, epoch } = snapshot;
      const sentAt = clock.now();
      const own = memory.writes(key);
      try {
        const answer = await owner.fill(key, { token, payload, life, fence, epoch, seq, budget });
        if (
          answer.kind === 'stored' &&
          flight.settings.memory &&
          snapshot.owner(flight.hash) === owner
        ) {
          // Its life began when it was sent.
          const agedMs = clock.now() - sentAt;
          const freshForMs = life.ttlMs - agedMs;
          const { length: bytes } = payload.bytes;
          const valueAgeMs = (life.ageMs ?? 0) + agedMs;
          const entry = { freshForMs, agedMs, valueAgeMs, bytes, seq, tags: life.tags };
          this.remember(flight, value, { ...entry, ticket: own });
        }
        if (answer.kind === 'lost') counters.fencedFills++;
        if (answer.kind === 'stored' && snapshot.owner(flight.hash) !== owner) this.#passOn(key);
        if (answer.kind === 'stored' || answer.kind === 'lost') return;
        if (answer.kind !== 'stale') break;
        // The ring has changed meanwhile. The lease counts if an entry of its age would: a node that
        // lost the key and got it back still has the lease, and has seen none of the deletes in between.
        await inTime(topology.refresh(snapshot), owner, {
          clock,
          nodeTimeoutMs: tuning.nodeTimeoutMs,
        });
      } catch (error) {
        if (!(error instanceof NodeUnavailableError)) throw error;
        break;
      } finally {
        memory.wrote(own);
      }
      const now = topology.snapshot;
      if (!leaseCounts(now, owner, { leasedIn, hash: flight.hash })) break;
      flight.snapshot = now;
    }
    // Not stored, or nobody knows: others need not wait for the lease to run out.
    flight.owner.dropLease(flight.key, token).catch(() => {});
  }

  /** From the previous owner, where it was stored, to the present one: the mover may have passed by. */
  #passOn(key: string): void {
    const { snapshot } = this.#parts.topology;
    const connected = this.#parts.topology.connecting(snapshot.owner(snapshot.ring.hash(key)));
    Promise.resolve(connected)
      .then(() => copyKey(key, snapshot))
      .catch(() => {});
  }

  /** @param entry.agedMs How long ago the node was asked, or the load began. */
  remember(
    flight: Flight,
    value: unknown,
    entry: Holdable &
      Pick<Arrival, 'agedMs' | 'notAtNode'> & {
        readonly ticket?: OwnWrite;
      },
  ): void {
    const holding = flight.owner.tags.holding(flight.key, entry);
    if (holding === undefined) return;
    this.#parts.memory.put(flight.key, value, {
      ...holding,
      node: flight.owner.id,
      hash: flight.hash,
      ticket: entry.ticket ?? flight.ticket,
      forMs: entry.freshForMs,
      agedMs: entry.agedMs,
      valueAgeMs: entry.valueAgeMs,
      bytes: entry.bytes,
      notAtNode: entry.notAtNode === true,
    });
  }
}

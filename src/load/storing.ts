/**
 * What becomes of a loaded or copied value: stored at the owner under the
 * lease, and remembered here. Step 5 of loader.ts.
 */
import type { Clock } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import type { Arrival, Memory, OwnWrite } from '../memory/memory.ts';
import type { CacheCounters } from '../metrics/metrics.ts';
import type { Life, Payload } from '../node/node.ts';
import { copyKey } from '../topology/mover.ts';
import type { Topology } from '../topology/topology.ts';
import type { Flight } from './flight.ts';
import { inTime } from './in-time.ts';
import { leaseCounts } from './lease-keeper.ts';
import type { LoadTuning } from './settings.ts';

export interface StoringParts {
  readonly clock: Clock;
  readonly topology: Topology;
  readonly memory: Memory;
  readonly counters: CacheCounters;
  readonly tuning: LoadTuning;
}

export interface Filling {
  readonly token: string;
  readonly payload: Payload;
  readonly life: Life;
  readonly value: unknown;
}

/** How often a value is sent again under a newer snapshot. */
const SETTLE_ROUNDS = 3;

export class Storing {
  readonly #parts: StoringParts;

  constructor(parts: StoringParts) {
    this.#parts = parts;
  }

  /** Stores under the lease, and remembers what was stored. A node that fails here costs the storing only. */
  async fill(flight: Flight, entry: Filling): Promise<void> {
    const { clock, counters, memory, topology, tuning } = this.#parts;
    const { token, payload, life, value } = entry;
    const leasedIn = { stamp: flight.snapshot.epoch };
    for (let round = 0; round < SETTLE_ROUNDS; round++) {
      const { snapshot, owner, key, budget } = flight;
      const { fence, epoch } = snapshot;
      const sentAt = clock.now();
      const own = memory.writes(key);
      try {
        const answer = await owner.fill(key, { token, payload, life, fence, epoch, budget });
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
          this.remember(flight, value, { freshForMs, agedMs, valueAgeMs, bytes, ticket: own });
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
    entry: Pick<Arrival, 'agedMs' | 'valueAgeMs' | 'bytes' | 'notAtNode'> & {
      readonly freshForMs: number;
      readonly ticket?: OwnWrite;
    },
  ): void {
    this.#parts.memory.put(flight.key, value, {
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

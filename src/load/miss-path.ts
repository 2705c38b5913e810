/**
 * The way of a key that its owner does not have: the lease, the previous
 * owner, the load, the fill. Steps 4 to 7 of loader.ts.
 *
 * It knows what is to be done for one flight, and nothing of the others.
 */
import { randomUUID } from 'node:crypto';
import { type Clock, pause, within } from '../clock.ts';
import { InvalidValueError, LoadTimeoutError, NodeUnavailableError } from '../errors.ts';
import type { CacheCounters } from '../metrics/metrics.ts';
import type { Budget, LeaseAnswer, Payload, Stored } from '../node/node.ts';
import type { Topology } from '../topology/topology.ts';
import type { Flight } from './flight.ts';
import { SETTLE_ROUNDS } from './in-time.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import type { LoadsElsewhere } from './loads-elsewhere.ts';
import type { Loaded } from './runner.ts';
import { type LoadTuning, lifeOf } from './settings.ts';
import { lookUp, type Sighting } from './sighting.ts';
import { type Leased, type Storing, whatHolds } from './storing.ts';

export interface MissParts {
  readonly clock: Clock;
  readonly topology: Topology;
  readonly counters: CacheCounters;
  readonly tuning: LoadTuning;
  readonly elsewhere: LoadsElsewhere;
  readonly encode: (value: unknown) => Payload;
  /** A loaded value was handed out and not stored, because it cannot be. Must not throw. */
  readonly valueRefused: (key: string, error: InvalidValueError) => void;
  /** A value past its ttl was found that may be served. */
  readonly offerStale: (flight: Flight, stored: Stored) => void;
}

/** First and longest pause before a process asks again for another one's load, where no node tells when it is over. */
const WAIT_MS = { first: 4, longest: 20 } as const;
/** Where one does, in case it could not. */
const TOLD_WITHIN_MS = 1_000;

export class MissPath {
  readonly #parts: MissParts;
  readonly #storing: Storing;

  constructor(parts: MissParts, storing: Storing) {
    this.#parts = parts;
    this.#storing = storing;
  }

  /** The steps from 3 on, until there is an answer. */
  async obtain(flight: Flight, first: Sighting): Promise<unknown> {
    let sighting: Sighting = first;
    let rounds = 0;
    let waitMs: number = WAIT_MS.first;
    const token = randomUUID();
    const elsewhere = this.#parts.elsewhere.expect(flight.key);
    flight.elsewhere = elsewhere;
    try {
      for (;;) {
        this.#endIfOver(flight);
        if (sighting.epoch < 0 || sighting.epoch > flight.snapshot.epoch) {
          if (++rounds > SETTLE_ROUNDS) return await this.loadAlone(flight);
          await this.#takeUpNews(flight, sighting.epoch < 0);
          sighting = await this.#within(flight, lookUp(flight.owner, flight.key));
          continue;
        }
        if (this.#isGood(flight, sighting.stored)) return sighting.stored.value;
        // Whoever came for it has been served with the stale value by now.
        if (flight.answered) return undefined;
        const answer = await this.#lease(flight, token);
        switch (answer.kind) {
          case 'value':
            sighting = { stored: answer.stored, epoch: flight.snapshot.epoch };
            break;
          case 'leased':
            return await this.#loadLeased(flight, { token, seq: answer.seq });
          case 'busy': {
            const old = await this.#oldValueMeanwhile(flight);
            if (old !== undefined) return old.value;
            const unlessToldMs = flight.owner.announces ? TOLD_WITHIN_MS : waitMs;
            await this.#waitForOther(flight, Math.min(unlessToldMs, answer.remainingMs + 1));
            waitMs = Math.min(waitMs * 1.5, WAIT_MS.longest);
            break;
          }
          case 'stale':
          case 'unknown':
            sighting = {
              stored: undefined,
              epoch: answer.kind === 'unknown' ? -1 : Number.POSITIVE_INFINITY,
            };
        }
      }
    } catch (error) {
      // Once the loader has run, an error is its own, whatever its class.
      if (flight.loading || !(error instanceof NodeUnavailableError)) throw error;
      return await this.loadAlone(flight);
    } finally {
      elsewhere.end();
    }
  }

  /** Judges what is at the node; offers it if it is stale but may be served. */
  #isGood(flight: Flight, stored: Stored | undefined): stored is Stored {
    const { counters } = this.#parts;
    if (stored === undefined || stored === flight.seen) return false;
    flight.seen = stored;
    if (!flight.snapshot.believes(stored, flight.hash)) return false;
    if (stored.freshForMs > 0) {
      if (flight.decidedToWait) counters.awaited++;
      else counters.nodeHits++;
      if (flight.settings.memory) {
        const agedMs = this.#parts.clock.now() - flight.missedAt;
        this.#storing.remember(flight, stored.value, { ...whatHolds(stored), agedMs });
      }
      return true;
    }
    if (stored.freshForMs + flight.settings.staleMs <= 0) return false;
    this.#parts.offerStale(flight, stored);
    return false;
  }

  /** One try for the lease: who holds it refreshes for all. */
  async refresh(flight: Flight): Promise<void> {
    const token = randomUUID();
    const answer = await this.#lease(flight, token);
    if (answer.kind === 'leased') await this.#loadLeased(flight, { token, seq: answer.seq });
  }

  #lease(flight: Flight, token: string): Promise<LeaseAnswer> {
    const { owner, key, snapshot, seen } = flight;
    const { leaseMs } = this.#parts.tuning;
    const budget = this.#budgetOf(flight);
    return owner.lease(key, { token, leaseMs, fence: snapshot.fence, seen, budget });
  }

  async #loadLeased(flight: Flight, lease: Leased): Promise<unknown> {
    const { token } = lease;
    const { clock, tuning } = this.#parts;
    const keeper = new LeaseKeeper(flight, token, { clock, leaseMs: tuning.leaseMs });
    let storable = true;
    let loaded: Loaded;
    try {
      const copied = await this.#copyFromPrevious(flight, lease);
      if (copied.kind === 'copied') {
        keeper.stop();
        return copied.stored.value;
      }
      storable = copied.kind === 'nothing';
      loaded = await this.#work(flight);
    } catch (error) {
      keeper.giveBack();
      throw error;
    }
    const payload = loaded.store && storable ? this.#encode(flight.key, loaded.value) : undefined;
    if (payload === undefined) {
      keeper.giveBack();
      return loaded.value;
    }
    keeper.stop();
    const life = lifeOf(flight.settings, loaded.value, loaded);
    await this.#storing.fill(flight, { ...lease, payload, life, value: loaded.value });
    return loaded.value;
  }

  /** While the ring changes: what the previous owner has, stored at the present one under our lease. */
  async #copyFromPrevious(
    flight: Flight,
    lease: Leased,
  ): Promise<{ kind: 'copied'; stored: Stored } | { kind: 'nothing' } | { kind: 'unknown' }> {
    try {
      for (let waitMs: number = WAIT_MS.first; ; waitMs = Math.min(waitMs * 1.5, WAIT_MS.longest)) {
        const { snapshot, key, hash } = flight;
        const previous = snapshot.previousOwner(hash);
        if (previous === undefined) return { kind: 'nothing' };
        const found = await previous.copy(key, snapshot.fence, this.#budgetOf(flight));
        if (found.kind === 'stale' && (await this.#goesOn(flight))) continue;
        // Without its word, what is loaded now may be older than a delete that
        // the source has not seen yet: it is handed out and not stored.
        if (found.kind === 'stale' || found.kind === 'unknown') return { kind: 'unknown' };
        if (found.kind === 'value' && snapshot.believesPrevious(found.stored, hash)) {
          const { stored, payload, life } = found;
          if (stored.freshForMs > 0) {
            this.#parts.counters.copied++;
            await this.#storing.fill(flight, { ...lease, payload, life, value: stored.value });
            return { kind: 'copied', stored };
          }
          flight.stale ??= stored.freshForMs + flight.settings.staleMs > 0 ? stored : undefined;
        }
        if (found.leaseLeftMs === 0) return { kind: 'nothing' };
        // It was being loaded when the ring changed, and will be stored there.
        await this.#waitForOther(flight, Math.min(waitMs, found.leaseLeftMs + 1));
      }
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
      return { kind: 'unknown' };
    }
  }

  /** Who waits for another process's load does not wait for the node. */
  #budgetOf({ decidedToWait, budget }: Flight): Budget | undefined {
    return decidedToWait ? undefined : budget;
  }

  /** Takes up the ring that is in force now, if our lease counts there still. */
  async #goesOn(flight: Flight): Promise<boolean> {
    const { topology } = this.#parts;
    const { snapshot, owner, hash } = flight;
    await this.#within(flight, topology.refresh(snapshot));
    const now = topology.snapshot;
    const leasedIn = { stamp: snapshot.epoch };
    if (now === snapshot || now.owner(hash) !== owner || !now.believes(leasedIn, hash))
      return false;
    flight.snapshot = now;
    return true;
  }

  /** While another process copies or loads: the previous owner's value, uncopied. */
  async #oldValueMeanwhile(flight: Flight): Promise<Stored | undefined> {
    const previous = flight.snapshot.previousOwner(flight.hash);
    if (previous === undefined || flight.decidedToWait) return undefined;
    try {
      const found = await previous.copy(flight.key, flight.snapshot.fence, flight.budget);
      if (found.kind !== 'value' || found.stored.freshForMs <= 0) return undefined;
      return flight.snapshot.believesPrevious(found.stored, flight.hash) ? found.stored : undefined;
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
      return undefined;
    }
  }

  async #work(flight: Flight): Promise<Loaded> {
    this.#endIfOver(flight);
    this.#parts.counters.misses++;
    flight.loading = true;
    // Not `decided`: a bulk load would begin with the others, before it is called for this key.
    return flight.work(flight);
  }

  /** The owner cannot say what it has, nor keep others from loading. */
  async loadAlone(flight: Flight): Promise<unknown> {
    if (flight.answered) return undefined;
    // A node that has just joined may be connected later here than elsewhere.
    const connecting = this.#parts.topology.connecting(flight.owner);
    const old = await this.#oldValueMeanwhile(flight);
    if (old !== undefined) return old.value;
    const sighting = connecting && (await this.#lookUpOnce(connecting, flight));
    if (sighting !== undefined) return this.obtain(flight, sighting);
    this.#parts.counters.unprotectedLoads++;
    const { sequence: seq } = flight.owner.tags;
    const loaded = await this.#work(flight);
    const { value } = loaded;
    if (loaded.store && flight.settings.memory && value !== undefined) {
      const payload = this.#encode(flight.key, value);
      const { ttlMs: freshForMs, tags } = lifeOf(flight.settings, value, loaded);
      if (payload !== undefined) {
        const { length: bytes } = payload.bytes;
        const { loadMs: agedMs } = loaded;
        const entry = { freshForMs, agedMs, valueAgeMs: 0, bytes, seq, tags, notAtNode: true };
        this.#storing.remember(flight, value, entry);
      }
    }
    return value;
  }

  /** What a node has that is being connected: what is loaded before that could not be stored. */
  async #lookUpOnce(connected: Promise<void>, flight: Flight): Promise<Sighting | undefined> {
    try {
      await this.#within(flight, connected);
      return await this.#within(flight, lookUp(flight.owner, flight.key));
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
      return undefined;
    }
  }

  /** The one door through which a process waits for another one's load. */
  async #waitForOther(flight: Flight, unlessToldMs: number): Promise<void> {
    const { clock, tuning } = this.#parts;
    flight.decidedToWait = true;
    flight.decided();
    const leftMs = tuning.timeoutMs - (clock.now() - flight.missedAt);
    if (leftMs < 0) throw new LoadTimeoutError(flight.key, tuning.timeoutMs);
    const waitMs = Math.min(unlessToldMs * (0.75 + Math.random() / 2), leftMs + 1);
    await (flight.elsewhere?.wait(clock, waitMs, flight.signal) ??
      pause(clock, waitMs, flight.signal));
    flight.signal.throwIfAborted();
  }

  /** A node's epoch is not ours: takes up the newest snapshot, or has the node admitted anew. */
  async #takeUpNews(flight: Flight, lost: boolean): Promise<void> {
    const { topology } = this.#parts;
    await this.#within(flight, lost ? flight.owner.readmit() : topology.refresh(flight.snapshot));
    flight.snapshot = topology.snapshot;
    flight.owner = flight.snapshot.owner(flight.hash);
  }

  /** Waits for what is no single request, for as long as the nodes have left. */
  async #within<T>(flight: Flight, work: Promise<T>): Promise<T> {
    const { clock, tuning } = this.#parts;
    const budget = flight.budget ?? { leftMs: tuning.nodeTimeoutMs };
    const startedAt = clock.now();
    try {
      const late = () => new NodeUnavailableError(flight.owner.id, 'timeout');
      return await within(work, budget.leftMs, { clock, late });
    } finally {
      budget.leftMs -= clock.now() - startedAt;
    }
  }

  #encode(key: string, value: unknown): Payload | undefined {
    if (value === undefined) return undefined;
    const { encode, counters, valueRefused } = this.#parts;
    try {
      return encode(value);
    } catch (error) {
      if (!(error instanceof InvalidValueError)) throw error;
      counters.refusedValues++;
      valueRefused(key, error);
      return undefined;
    }
  }

  #endIfOver(flight: Flight): void {
    if (flight.cancelled) flight.signal.throwIfAborted();
  }
}

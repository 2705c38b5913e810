/**
 * What a read that memory cannot answer does: read the owner, and on a miss
 * load once for everybody.
 *
 * One key's way:
 *  1. Join the flight of this key, or start one.
 *  2. Read the owner, in the batch of this tick.
 *  3. Fresh: remember, answer. Stale: answer, and refresh behind.
 *  4. Ask the owner for the lease. It answers with a value after all, with the
 *     lease, or that another process has it.
 *  5. Leased: while the ring changes, copy from the previous owner; else load.
 *     Store under the lease, so that a set or delete since then wins.
 *  6. Another process has it: wait, then ask again. A process that died loses
 *     its lease, and the next one that asks gets it.
 *  7. The owner cannot be used: load, coalesced and capped, and store nowhere
 *     but in memory.
 *
 * Redis never makes a read fail, nor wait longer than the node's timeout.
 */
import { type InvalidValueError, NodeUnavailableError } from '../errors.ts';
import type { Memory } from '../memory/memory.ts';
import { ageOf, type Stored } from '../node/node.ts';
import { Flight, type FlightControl, type Work } from './flight.ts';
import { type MissParts, MissPath } from './miss-path.ts';
import { type EntrySettings, isDueEarly } from './settings.ts';
import type { Sighting } from './sighting.ts';
import { Storing } from './storing.ts';

export interface LoaderParts extends Omit<MissParts, 'valueRefused' | 'offerStale'> {
  readonly memory: Memory;
  readonly listener: LoadListener;
}

/** What happens behind the callers' backs. Must not throw. */
export interface LoadListener {
  /** A refresh behind a stale value failed. */
  refreshFailed(key: string, error: unknown): void;
  /** A loaded value was handed out and not stored, because it cannot be. */
  valueRefused(key: string, error: InvalidValueError): void;
}

export interface LoadRequest {
  /** Called if the value has to be loaded. */
  readonly work: Work;
  readonly settings: EntrySettings;
  /** Told when it is known whether the work is wanted now. */
  readonly decided?: (flight: Flight) => void;
}

/** Flights: fewer than between two collections of the young objects, and enough that copying costs nothing. */
const RENEW_AFTER = 4_096;

export class Loader implements FlightControl {
  readonly #parts: LoaderParts;
  #flights = new Map<string, Flight>();
  /** Put into it since it was renewed. */
  #launched = 0;
  /** Keys that are being refreshed behind a stale value. */
  readonly #refreshing = new Map<string, Flight>();
  /** Under way still, though a set or delete came: nobody joins them any more. */
  readonly #overtaken = new Set<Flight>();
  readonly #misses: MissPath;
  readonly #storing: Storing;
  #closed: Error | undefined;

  constructor(parts: LoaderParts) {
    this.#parts = parts;
    this.#storing = new Storing(parts);
    const missParts = {
      ...parts,
      valueRefused: parts.listener.valueRefused,
      offerStale: (flight: Flight, stored: Stored) => this.#offerStale(flight, stored),
    };
    this.#misses = new MissPath(missParts, this.#storing);
  }

  /** The flight under way for `key`, or a new one, which the others that ask will join. */
  get(key: string, call: LoadRequest): Flight {
    const running = this.#flights.get(key);
    if (running !== undefined) {
      this.#parts.counters.coalesced++;
      return running;
    }
    const flight = this.#flight(key, call);
    this.#flights.set(key, flight);
    this.#renew();
    flight.owner.read(key, flight, 0);
    return flight;
  }

  /**
   * Hot path. A table that V8 has replaced, because deleted entries filled it,
   * keeps its entries and refers to its successor. Once one of them has become
   * old, every later one survives until a full collection, with all the flights
   * that were under way when it was replaced: a third of the CPU of a read. A
   * new Map now and then starts a new chain.
   */
  #renew(): void {
    this.#launched++;
    if (this.#launched < RENEW_AFTER || this.#launched < 4 * this.#flights.size) return;
    this.#launched = 0;
    this.#flights = new Map(this.#flights);
  }

  /** The flight of `key` that is under way. */
  running(key: string): Flight | undefined {
    return this.#flights.get(key);
  }

  /** `key` was set or deleted: who asks from now on does not join what began before. */
  forget(key: string): void {
    this.#overtake(this.#flights, key);
    this.#overtake(this.#refreshing, key);
  }

  #overtake(flights: Map<string, Flight>, key: string): void {
    const flight = flights.get(key);
    if (flight === undefined) return;
    flights.delete(key);
    this.#overtaken.add(flight);
  }

  /** Ends what is under way; those who wait are answered with `reason`. */
  close(reason: Error): void {
    this.#closed = reason;
    for (const flights of [this.#flights.values(), this.#refreshing.values(), this.#overtaken]) {
      for (const flight of [...flights]) flight.cancel(reason);
    }
  }

  /** Hot path: the node's answer to a batched read. */
  arrived(flight: Flight, stored: Stored | undefined, epoch: number): void {
    const { counters, tuning } = this.#parts;
    if (
      stored !== undefined &&
      stored.freshForMs > 0 &&
      epoch >= 0 &&
      epoch <= flight.snapshot.epoch &&
      flight.snapshot.believes(stored, flight.hash)
    ) {
      counters.nodeHits++;
      if (isDueEarly(tuning.earlyRefresh, stored)) this.#refreshBehind(flight, stored);
      this.#finishWith(flight, stored);
      return;
    }
    this.#missed(flight, flight.owner.lastReadMs);
    this.#pursue(flight, { stored, epoch });
  }

  unavailable(flight: Flight, _error: NodeUnavailableError): void {
    this.#missed(flight, 0);
    this.#pursue(flight, undefined);
  }

  abandoned(flight: Flight): void {
    this.#leave(flight);
  }

  #missed(flight: Flight, readMs: number): void {
    const { clock, tuning } = this.#parts;
    flight.missedAt = clock.now();
    // A bulk takes this process longer than any node.
    if (!flight.isOfBulk) flight.budget = { leftMs: tuning.nodeTimeoutMs - readMs };
  }

  #finishWith(flight: Flight, stored: Stored): void {
    if (flight.settings.memory) {
      const { freshForMs, bytes } = stored;
      const agedMs = flight.owner.lastReadMs;
      this.#storing.remember(flight, stored.value, {
        freshForMs,
        agedMs,
        valueAgeMs: ageOf(stored),
        bytes,
      });
    }
    this.#leave(flight);
    flight.answer(stored.value);
    flight.decided();
  }

  #pursue(flight: Flight, first: Sighting | undefined): void {
    const obtained =
      first === undefined ? this.#misses.loadAlone(flight) : this.#misses.obtain(flight, first);
    obtained
      .then(
        (value) => this.#settle(flight, value),
        (error: unknown) => this.#settleFailure(flight, error),
      )
      .finally(() => flight.decided());
  }

  // Leaving comes before the answer: who is answered and asks again at once
  // would join this flight, and be told the same error without a load.
  #settle(flight: Flight, value: unknown): void {
    this.#leave(flight);
    if (!flight.answered) flight.answer(value);
  }

  #settleFailure(flight: Flight, error: unknown): void {
    this.#leave(flight);
    if (this.#closed !== undefined) flight.fail(this.#closed);
    else if (flight.answered) this.#parts.listener.refreshFailed(flight.key, error);
    else if (flight.stale !== undefined) {
      this.#parts.counters.staleHits++;
      flight.answer(flight.stale.value);
      this.#parts.listener.refreshFailed(flight.key, error);
    } else flight.fail(error);
  }

  /** A stale value is served at once, or when the soft timeout is over; the load goes on behind it. */
  #offerStale(flight: Flight, stored: Stored): void {
    const { softTimeoutMs } = this.#parts.tuning;
    flight.stale = stored;
    if (softTimeoutMs === 0) {
      this.#serveStale(flight, stored);
      this.#refreshBehind(flight, stored);
    } else {
      flight.softTimer ??= this.#parts.clock.after(softTimeoutMs, () => {
        if (flight.answered) return;
        this.#serveStale(flight, stored);
        this.#refreshing.set(flight.key, flight);
      });
    }
  }

  #serveStale(flight: Flight, stored: Stored): void {
    this.#parts.counters.staleHits++;
    // Who asks from now on looks for himself: the value may be replaced or
    // deleted before the load is over.
    this.#leave(flight);
    flight.answer(stored.value);
  }

  /** Loads anew what has just been served, unless that is being done already. */
  #refreshBehind(flight: Flight, stored: Stored): void {
    const { key, work, settings } = flight;
    if (this.#refreshing.has(key)) return;
    // In a bulk load, the others wait for this one: it is asked for with them.
    const decided = flight.handOver();
    const refresh = this.#flight(key, { work, settings, ...(decided && { decided }) });
    this.#missed(refresh, 0);
    refresh.answered = true;
    refresh.seen = stored;
    refresh.stale = stored;
    this.#refreshing.set(key, refresh);
    this.#misses
      .refresh(refresh)
      .catch((error: unknown) => {
        if (error instanceof NodeUnavailableError || this.#closed !== undefined) return;
        this.#parts.listener.refreshFailed(key, error);
      })
      .finally(() => {
        this.#leave(refresh);
        refresh.decided();
      });
  }

  #flight(key: string, call: LoadRequest): Flight {
    const { topology, memory } = this.#parts;
    const snapshot = topology.snapshot;
    const hash = snapshot.ring.hash(key);
    return new Flight(
      {
        key,
        hash,
        work: call.work,
        settings: call.settings,
        decided: call.decided,
        snapshot,
        ticket: memory.ticket(hash),
      },
      this,
    );
  }

  /** Removed only if it is still the one: after a set or delete, another may hold this key. */
  #leave(flight: Flight): void {
    flight.softTimer?.cancel();
    this.#overtaken.delete(flight);
    if (this.#flights.get(flight.key) === flight) this.#flights.delete(flight.key);
    if (this.#refreshing.get(flight.key) === flight) this.#refreshing.delete(flight.key);
  }
}

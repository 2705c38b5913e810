/**
 * Reads without a loader: one batch per node, and `undefined` whenever a node
 * cannot be asked. Fresh values only, but for whoever asks for what is known of
 * one: he gets a stale one, too.
 */
import { type Clock, within } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import type { Memory } from '../memory/memory.ts';
import type { CacheCounters } from '../metrics/metrics.ts';
import { ageOf, type Budget, type Reader, type Stored } from '../node/node.ts';
import type { Snapshot } from '../topology/snapshot.ts';
import type { Topology } from '../topology/topology.ts';
import { SETTLE_ROUNDS } from './in-time.ts';
import type { LoadTuning } from './settings.ts';
import { lookUp } from './sighting.ts';

export interface ReadsParts {
  readonly clock: Clock;
  readonly tuning: Pick<LoadTuning, 'nodeTimeoutMs'>;
  readonly topology: Topology;
  readonly memory: Memory;
  readonly counters: CacheCounters;
}

interface Question {
  readonly key: string;
  readonly hash: number;
  readonly ticket: number;
  readonly snapshot: Snapshot;
  /** Whether a stale one is better than none. */
  readonly orStale: boolean;
}

/** What was found, or nothing. */
type Found = Stored | undefined;

const itsValue = (found: Found): unknown => found?.value;

export class Reads {
  readonly #parts: ReadsParts;

  constructor(parts: ReadsParts) {
    this.#parts = parts;
  }

  /** The fresh value of a key that memory does not have. */
  get(key: string): Promise<unknown> {
    return new Promise((resolve) => {
      this.#ask(key, false, (found) => {
        resolve(found instanceof Promise ? found.then(itsValue) : found?.value);
      });
    });
  }

  /** The same with what is known of it, and a stale one, too. */
  look(key: string): Promise<Found> {
    return new Promise((resolve) => {
      this.#ask(key, true, resolve);
    });
  }

  #ask(key: string, orStale: boolean, resolve: (found: Found | Promise<Found>) => void): void {
    const { topology, memory } = this.#parts;
    const { snapshot } = topology;
    const hash = snapshot.ring.hash(key);
    const question = { key, hash, ticket: memory.ticket(hash), snapshot, orStale };
    snapshot.owner(hash).read(key, new OneRead(this, question, resolve), 0);
  }

  /** The same for many, in the order of `keys`. */
  getMany(keys: readonly string[]): Promise<unknown[]> {
    if (keys.length === 0) return Promise.resolve([]);
    const { topology, memory, counters } = this.#parts;
    const { snapshot } = topology;
    return new Promise((resolve) => {
      const reader = new ManyReads(this, { keys, snapshot, resolve });
      for (let i = 0; i < keys.length; i++) {
        const key = keys[i]!;
        const held = memory.get(key);
        if (held !== undefined) {
          counters.memoryHits++;
          reader.settle(i, held);
          continue;
        }
        const hash = snapshot.ring.hash(key);
        reader.hashes[i] = hash;
        reader.tickets[i] = memory.ticket(hash);
        snapshot.owner(hash).read(key, reader, i);
      }
    });
  }

  /**
   * Judges an answer: what was found, or undefined for a miss, or a promise when
   * the answer is not the last word: the node is of another epoch, or the key
   * may still be at its previous owner.
   */
  accept(question: Question, stored: Found, epoch: number): Found | Promise<Found> {
    const { snapshot, hash } = question;
    const { counters, tuning } = this.#parts;
    if (epoch < 0 || epoch > snapshot.epoch) return this.#inTime(question, epoch < 0);
    if (stored !== undefined && stored.freshForMs > 0 && snapshot.believes(stored, hash)) {
      counters.nodeHits++;
      this.#remember(question, stored);
      return stored;
    }
    const stale = this.#ifStaleWill(question, stored);
    if (snapshot.previousOwner(hash) !== undefined) {
      const leftMs = tuning.nodeTimeoutMs - snapshot.owner(hash).lastReadMs;
      return this.#lookBack(question, { leftMs }, stale);
    }
    return this.missed(stale);
  }

  #ifStaleWill({ snapshot, hash, orStale }: Question, stored: Found): Found {
    return orStale && stored !== undefined && snapshot.believes(stored, hash) ? stored : undefined;
  }

  /** The owner cannot be asked: while the ring changes, the node before it may be. */
  unavailable(question: Question, error: NodeUnavailableError): Found | Promise<Found> {
    const { snapshot, hash } = question;
    const askedNothing = error.reason === 'breaker-open';
    if (askedNothing && snapshot.previousOwner(hash) !== undefined) {
      return this.#lookBack(question, { leftMs: this.#parts.tuning.nodeTimeoutMs });
    }
    return this.missed();
  }

  /** @param stale What will do instead. */
  missed(stale?: Stored): Found {
    if (stale === undefined) this.#parts.counters.misses++;
    else this.#parts.counters.staleHits++;
    return stale;
  }

  /** Taking up another ring may mean to connect a node that hangs: a read does not wait for that. */
  async #inTime(question: Question, lost: boolean): Promise<Found> {
    const { clock, tuning } = this.#parts;
    const node = question.snapshot.owner(question.hash).id;
    try {
      const again = this.#lookAgain(question, lost);
      return await within(again, tuning.nodeTimeoutMs, {
        clock,
        late: () => new NodeUnavailableError(node, 'timeout'),
      });
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
      return this.missed();
    }
  }

  async #lookAgain({ key, snapshot: asked, orStale }: Question, unknown: boolean): Promise<Found> {
    const { topology, memory } = this.#parts;
    let before = asked;
    let lost = unknown;
    try {
      // A change takes two steps, which may follow closely.
      for (let round = 0; round < SETTLE_ROUNDS; round++) {
        if (lost) await before.owner(before.ring.hash(key)).readmit();
        else await topology.refresh(before);
        const { snapshot } = topology;
        const hash = snapshot.ring.hash(key);
        const ticket = memory.ticket(hash);
        const { stored, epoch } = await lookUp(snapshot.owner(hash), key);
        if (epoch >= 0 && epoch <= snapshot.epoch) {
          return await this.accept({ key, hash, ticket, snapshot, orStale }, stored, epoch);
        }
        before = snapshot;
        lost = epoch < 0;
      }
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
    }
    return this.missed();
  }

  /** At the previous owner, uncopied: a read without a loader takes no lease. */
  async #lookBack(question: Question, budget: Budget, stale?: Stored): Promise<Found> {
    const { key, hash, snapshot, orStale } = question;
    try {
      const found = await snapshot.previousOwner(hash)?.copy(key, snapshot.fence, budget);
      if (found?.kind !== 'value' || !snapshot.believesPrevious(found.stored, hash)) {
        return this.missed(stale);
      }
      if (found.stored.freshForMs <= 0) {
        return this.missed(stale ?? (orStale ? found.stored : undefined));
      }
      this.#parts.counters.nodeHits++;
      return found.stored;
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
      return this.missed(stale);
    }
  }

  #remember({ key, hash, ticket, snapshot }: Question, stored: Stored): void {
    const { id: node, lastReadMs: agedMs, tags } = snapshot.owner(hash);
    const holding = tags.holding(key, stored);
    if (holding === undefined) return;
    const { freshForMs: forMs, bytes } = stored;
    const valueAgeMs = ageOf(stored);
    const arrival = { ...holding, node, hash, ticket, forMs, agedMs, valueAgeMs, bytes };
    this.#parts.memory.put(key, stored.value, arrival);
  }
}

/**
 * Its own question, copied. An object literal kept until the answer is here is
 * one that V8, under load, begins to allocate among the old objects, where it
 * keeps what it refers to alive until a full collection (a tenth of the CPU).
 */
class OneRead implements Reader, Question {
  readonly key: string;
  readonly hash: number;
  readonly ticket: number;
  readonly snapshot: Snapshot;
  readonly orStale: boolean;
  readonly #reads: Reads;
  readonly #resolve: (found: Found | Promise<Found>) => void;

  constructor(reads: Reads, question: Question, resolve: (found: Found | Promise<Found>) => void) {
    this.key = question.key;
    this.hash = question.hash;
    this.ticket = question.ticket;
    this.snapshot = question.snapshot;
    this.orStale = question.orStale;
    this.#reads = reads;
    this.#resolve = resolve;
  }

  found(_position: number, stored: Stored | undefined, epoch: number): void {
    this.#resolve(this.#reads.accept(this, stored, epoch));
  }

  failed(_position: number, error: NodeUnavailableError): void {
    this.#resolve(this.#reads.unavailable(this, error));
  }
}

interface ManyParts {
  readonly keys: readonly string[];
  readonly snapshot: Snapshot;
  readonly resolve: (values: unknown[] | Promise<unknown[]>) => void;
}

class ManyReads implements Reader {
  readonly hashes: number[];
  readonly tickets: number[];
  readonly #reads: Reads;
  readonly #parts: ManyParts;
  readonly #values: unknown[];
  #left: number;
  /** Whether a value is a promise still. */
  #late = false;

  constructor(reads: Reads, parts: ManyParts) {
    const { length } = parts.keys;
    this.hashes = new Array<number>(length).fill(0);
    this.tickets = new Array<number>(length).fill(0);
    this.#values = new Array<unknown>(length).fill(undefined);
    this.#left = length;
    this.#reads = reads;
    this.#parts = parts;
  }

  found(position: number, stored: Stored | undefined, epoch: number): void {
    this.#take(position, this.#reads.accept(this.#question(position), stored, epoch));
  }

  failed(position: number, error: NodeUnavailableError): void {
    this.#take(position, this.#reads.unavailable(this.#question(position), error));
  }

  #question(position: number): Question {
    return {
      key: this.#parts.keys[position]!,
      hash: this.hashes[position]!,
      ticket: this.tickets[position]!,
      snapshot: this.#parts.snapshot,
      orStale: false,
    };
  }

  #take(position: number, found: Found | Promise<Found>): void {
    if (found instanceof Promise) {
      this.#late = true;
      this.settle(position, found.then(itsValue));
    } else this.settle(position, found?.value);
  }

  settle(position: number, value: unknown): void {
    this.#values[position] = value;
    if (--this.#left > 0) return;
    this.#parts.resolve(this.#late ? Promise.all(this.#values) : this.#values);
  }
}

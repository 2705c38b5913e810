/**
 * Readers and writers, as an application would have them.
 *
 * Open loop: requests arrive when they are due, however slow the answers to
 * earlier ones are, so that a slow phase cannot hide its load.
 */
import { seededZipf, shuffled } from '../bench/random.ts';
import type { RingCache } from '../src/index.ts';
import { type Database, keyOf, numberOf, type Product } from './database.ts';
import type { Ledger } from './ledger.ts';
import type { Tally } from './tally.ts';

const TICK_MS = 4;
/** A little less than `node.timeout`: whoever waited longer has been given a value that may not be stored. */
const BUDGET_MS = 95;
/** YCSB's default, and near what web traffic shows. */
export const ZIPF_EXPONENT = 0.99;

export interface TrafficParts {
  readonly cache: RingCache;
  readonly database: Database;
  readonly ledger: Ledger;
  readonly tally: Tally;
  /** A second client without memory, as another process would be: looks whether a delete reached its node. */
  readonly auditor: RingCache;
}

export interface TrafficPlan {
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  readonly seed: number;
}

export class Traffic {
  readonly #parts: TrafficParts;
  readonly #plan: TrafficPlan;
  readonly #nextRead: () => number;
  readonly #nextWrite: () => number;
  #timer: NodeJS.Timeout | undefined;
  #startedAt = 0;
  #lastTickAt = 0;
  #reads = 0;
  #writes = 0;
  #underWay = 0;

  constructor(parts: TrafficParts, plan: TrafficPlan) {
    const { size } = parts.ledger;
    this.#parts = parts;
    this.#plan = plan;
    // The popular products are not those with the small numbers.
    const place = shuffled(
      Array.from({ length: size }, (_, number) => number),
      plan.seed,
    );
    const read = seededZipf(size, ZIPF_EXPONENT, plan.seed + 1);
    const write = seededZipf(size, ZIPF_EXPONENT, plan.seed + 2);
    this.#nextRead = () => place[read()]!;
    this.#nextWrite = () => place[write()]!;
  }

  start(): void {
    this.#startedAt = performance.now();
    this.#lastTickAt = this.#startedAt;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Nobody waits for an answer any more. */
  get idle(): boolean {
    return this.#underWay === 0;
  }

  readonly #load = async ({ key }: { key: string }): Promise<Product> => {
    const { database, ledger } = this.#parts;
    const number = numberOf(key);
    const ticket = ledger.loadBegins(number);
    const product = await database.read(number);
    ledger.loadEnds(number, ticket);
    return product;
  };

  readonly #loadMany = async (keys: string[]): Promise<Product[]> => {
    const { database, ledger } = this.#parts;
    const numbers = keys.map(numberOf);
    const tickets = numbers.map((number) => ledger.loadBegins(number));
    const products = await database.readMany(numbers);
    for (const [i, number] of numbers.entries()) ledger.loadEnds(number, tickets[i]!);
    return products;
  };

  /** Reads in what is not cached, many keys at once. */
  async readIn(numbers: readonly number[]): Promise<void> {
    const { cache, ledger } = this.#parts;
    const startedAt = performance.now();
    await cache.getOrSetMany(numbers.map(keyOf), this.#loadMany, { memory: false });
    const tookMs = performance.now() - startedAt;
    for (const number of numbers) {
      const waitedMs = tookMs - ledger.loadedFor(number, startedAt);
      if (waitedMs > BUDGET_MS) ledger.notStored(number);
    }
  }

  /** One call of a reader, judged when it is answered. */
  async read(number: number): Promise<void> {
    const { cache, ledger, tally } = this.#parts;
    const floor = ledger.floor(number);
    const startedAt = performance.now();
    const { stalledMs } = tally;
    this.#underWay += 1;
    try {
      const product = await cache.getOrSet<Product>(keyOf(number), this.#load);
      const tookMs = performance.now() - startedAt;
      const waitedMs = tookMs - ledger.loadedFor(number, startedAt);
      if (waitedMs > BUDGET_MS) ledger.notStored(number);
      tally.answered(tookMs, waitedMs - (tally.stalledMs - stalledMs));
      if (product.version < floor) tally.staleReads += 1;
    } catch (error) {
      tally.failed(error);
    } finally {
      this.#underWay -= 1;
    }
  }

  #tick(): void {
    const now = performance.now();
    this.#parts.tally.stalled(now - this.#lastTickAt - TICK_MS);
    this.#lastTickAt = now;
    const seconds = (now - this.#startedAt) / 1_000;
    for (; this.#reads < seconds * this.#plan.readsPerSecond; this.#reads += 1) {
      void this.read(this.#nextRead());
    }
    for (; this.#writes < seconds * this.#plan.writesPerSecond; this.#writes += 1) {
      void this.#write(this.#nextWrite());
    }
  }

  /** First the database, then the cache: the rule of cache-aside. */
  async #write(number: number): Promise<void> {
    const { cache, auditor, database, ledger, tally } = this.#parts;
    this.#underWay += 1;
    try {
      ledger.writeBegins(number);
      const version = database.write(number);
      const confirmed = await cache.delete(keyOf(number));
      ledger.writeEnds(number, version, confirmed);
      const floor = ledger.floor(number);
      const seen = await auditor.get<Product>(keyOf(number));
      if (seen !== undefined && seen.version < floor) tally.staleReads += 1;
      tally.lookedAfter += 1;
    } catch (error) {
      tally.failed(error);
    } finally {
      this.#underWay -= 1;
    }
  }
}

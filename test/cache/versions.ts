/**
 * Readers and writers of versioned values, and a watch for what must not be
 * read: a version older than the one whose set or delete was acknowledged
 * before the read began.
 *
 * Each key has one writer at a time: of two that overlap, nobody could say
 * which has to win.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RingCache } from '../../src/index.ts';
import { randomOf } from './random.ts';

interface Versioned {
  readonly version: number;
}

export interface Tally {
  reads: number;
  loads: number;
  sets: number;
  deletes: number;
  unconfirmed: number;
  readonly errors: string[];
  readonly violations: string[];
}

export interface TrafficPlan {
  readonly seed: number;
  readonly keys: readonly string[];
  readonly readers: readonly RingCache[];
  readonly writers: readonly RingCache[];
}

export class VersionedTraffic {
  readonly tally: Tally = {
    ...{ reads: 0, loads: 0, sets: 0, deletes: 0, unconfirmed: 0 },
    ...{ errors: [], violations: [] },
  };
  readonly #plan: TrafficPlan;
  readonly #random: () => number;
  /** The database. */
  readonly #latest = new Map<string, number>();
  /** What every read that begins now must at least show. */
  readonly #least = new Map<string, number>();
  readonly #beingWritten = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  #running = true;
  readonly #loop: Promise<void>;

  constructor(plan: TrafficPlan) {
    this.#plan = plan;
    this.#random = randomOf(plan.seed);
    this.#loop = this.#run();
  }

  /** Resolves when all that was begun has its answer. */
  async stop(): Promise<Tally> {
    this.#running = false;
    await this.#loop;
    await Promise.all(this.#underWay);
    return this.tally;
  }

  // An open loop: what is slow does not slow down what comes after it.
  async #run(): Promise<void> {
    while (this.#running) {
      for (let i = 0; i < 8; i += 1) this.#begin(this.#read());
      for (let i = 0; i < 2; i += 1) this.#begin(this.#write());
      await sleep(1);
    }
  }

  #begin(work: Promise<void>): void {
    const done = work.catch((error: unknown) => {
      this.tally.errors.push(String(error));
    });
    this.#underWay.add(done);
    void done.finally(() => this.#underWay.delete(done));
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)]!;
  }

  async #read(): Promise<void> {
    const { keys, readers } = this.#plan;
    const key = this.#pick(keys);
    const cache = this.#pick(readers);
    const least = this.#least.get(key) ?? 0;
    const slow = this.#random() < 0.3;
    const loader = async (): Promise<Versioned> => {
      this.tally.loads += 1;
      const version = this.#latest.get(key) ?? 0;
      // The row is read, then the answer takes its time: what is written meanwhile is missing in it.
      if (slow) await sleep(3);
      return { version };
    };
    const withLoader = this.#random() < 0.8;
    const value = await (withLoader ? cache.getOrSet(key, loader) : cache.get<Versioned>(key));
    this.tally.reads += 1;
    if (value !== undefined && value.version < least) {
      this.tally.violations.push(`${key}: read ${value.version}, at least ${least} was due`);
    }
  }

  async #write(): Promise<void> {
    const key = this.#pick(this.#plan.keys);
    const cache = this.#pick(this.#plan.writers);
    if (this.#beingWritten.has(key)) return;
    this.#beingWritten.add(key);
    try {
      const version = (this.#latest.get(key) ?? 0) + 1;
      this.#latest.set(key, version);
      const removes = this.#random() < 0.5;
      const taken = removes ? await cache.delete(key) : await cache.set(key, { version });
      if (removes) this.tally.deletes += 1;
      else this.tally.sets += 1;
      if (taken) this.#least.set(key, version);
      else this.tally.unconfirmed += 1;
    } finally {
      this.#beingWritten.delete(key);
    }
  }
}

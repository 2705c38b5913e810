/**
 * What one process of a run does to the cache: reads few keys over and over, in
 * every manner, and writes those that are its own. Writes down each call that
 * has come to its end, and where it was answered.
 *
 * An open loop: what is slow does not hold up what comes after it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RingCache } from '../../../src/index.ts';
import type { HistoryEvent, Read } from '../../cache/history.ts';
import type { Source } from '../../cache/prove/source.ts';
import { type Diary, nowMs } from '../../support/prove/diary.ts';
import { MemoryClock } from './memory-clock.ts';

export interface TrafficParts {
  readonly cache: RingCache;
  readonly source: Source;
  readonly diary: Diary<HistoryEvent>;
  readonly random: () => number;
  /** Of this process, in the diary. */
  readonly by: string;
  /** Read by all; the first are written most. */
  readonly keys: readonly string[];
  readonly isOwn: (key: string) => boolean;
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  /** Few take so long; most take none. */
  readonly longestLoadMs: number;
}

interface Versioned {
  readonly version: number;
}

const TICK_MS = 5;
/** What a process that stood still has missed is not made up for beyond this. */
const MOST_AT_ONCE = 40;
const MOST_UNDER_WAY = 400;
/** Reads of one key, one after the other: memory reads its clock once for some of them. */
const OF_ONE = 5;

export class Traffic {
  readonly #parts: TrafficParts;
  readonly #own: readonly string[];
  readonly #clock = new MemoryClock();
  readonly #beingWritten = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  #ended = false;
  #loop: Promise<void> | undefined;
  operations = 0;

  constructor(parts: TrafficParts) {
    this.#parts = parts;
    this.#own = parts.keys.filter(parts.isOwn);
  }

  begin(): void {
    this.#loop = this.#run();
  }

  /** Resolves when all that was begun has its answer. Idempotent. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#loop;
    await Promise.all(this.#underWay);
  }

  async #run(): Promise<void> {
    const { readsPerSecond, writesPerSecond } = this.#parts;
    let [reads, writes] = [0, 0];
    let lastAt = nowMs();
    while (!this.#ended) {
      const at = nowMs();
      reads = Math.min(MOST_AT_ONCE, reads + (readsPerSecond * (at - lastAt)) / 1_000);
      writes = Math.min(MOST_AT_ONCE, writes + (writesPerSecond * (at - lastAt)) / 1_000);
      lastAt = at;
      for (; writes >= 1; writes--) this.#track(this.#writeOne());
      for (; reads >= 1; reads -= OF_ONE) this.#readSome(this.#key(this.#parts.keys));
      await sleep(TICK_MS);
    }
  }

  #readSome(key: string): void {
    for (let i = 0; i < OF_ONE && this.#underWay.size < MOST_UNDER_WAY; i++) {
      const manner = this.#parts.random();
      if (manner < 0.3) this.#peek(key);
      else if (manner < 0.65) this.#read(key, 'get');
      else this.#read(key, 'load');
    }
  }

  #track(work: Promise<void>): void {
    const { diary, by } = this.#parts;
    this.operations++;
    const done = work.catch((error: unknown) => {
      diary.write({ kind: 'refused', by, at: nowMs(), why: String(error) });
    });
    this.#underWay.add(done);
    void done.finally(() => this.#underWay.delete(done));
  }

  /** Some keys are written all the time, some seldom: those stay what a mistake has made of them. */
  #key(keys: readonly string[]): string {
    return keys[Math.floor(keys.length * this.#parts.random() ** 2)]!;
  }

  #peek(key: string): void {
    const start = nowMs();
    const asOf = this.#clock.asOf(start);
    const held = this.#parts.cache.peek<Versioned>(key);
    if (held === undefined) return;
    this.operations++;
    this.#saw(held, { key, start, how: 'peek', tier: 'memory', asOf });
  }

  #read(key: string, how: 'get' | 'load'): void {
    const { cache } = this.#parts;
    const start = nowMs();
    const asOf = this.#clock.asOf(start);
    const before = cache.stats().memoryHits;
    // Whether memory has it is decided before this returns.
    const reading =
      how === 'get'
        ? cache.get<Versioned>(key)
        : cache.getOrSet<Versioned>(key, () => this.#load(key));
    const isHit = cache.stats().memoryHits > before;
    const where = isHit ? ({ tier: 'memory', asOf } as const) : ({ tier: 'beyond' } as const);
    this.#track(reading.then((value) => this.#saw(value, { key, start, how, ...where })));
  }

  async #load(key: string): Promise<Versioned> {
    const { random, source, longestLoadMs } = this.#parts;
    const version = await source.version(key);
    // The row is read, then the answer takes its time: what is written meanwhile is missing in it.
    const manner = random();
    if (manner < 0.3) await sleep(manner < 0.03 ? longestLoadMs * (manner / 0.03) : 3);
    return { version };
  }

  async #writeOne(): Promise<void> {
    const key = this.#key(this.#own);
    if (this.#beingWritten.has(key)) return;
    this.#beingWritten.add(key);
    try {
      await this.#write(key, this.#parts.random() < 0.4 ? 'delete' : 'set');
    } finally {
      this.#beingWritten.delete(key);
    }
  }

  async #write(key: string, how: 'set' | 'delete'): Promise<void> {
    const { cache, source, diary, by } = this.#parts;
    const version = await source.raise(key);
    const start = nowMs();
    const taken = await (how === 'set' ? cache.set(key, { version }) : cache.delete(key));
    diary.write({ kind: 'write', by, key, start, end: nowMs(), how, version, taken });
  }

  #saw(
    value: Versioned | undefined,
    read: Pick<Read, 'key' | 'start' | 'how' | 'tier'> & { readonly asOf?: number },
  ): void {
    const { diary, by } = this.#parts;
    const { asOf, ...rest } = read;
    const judged = asOf === read.start ? rest : read;
    diary.write({ kind: 'read', by, ...judged, end: nowMs(), version: value?.version ?? null });
  }
}

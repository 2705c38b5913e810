/**
 * What one process of a run does to the cache: reads in every manner, and
 * writes to the keys that are its own; writes down each call that has come to
 * its end. An open loop: what is slow does not hold up what comes after it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RingCache } from '../../../src/index.ts';
import { type Diary, nowMs } from '../../support/prove/diary.ts';
import type { HistoryEvent } from '../history.ts';
import type { Source } from './source.ts';

export interface TrafficParts {
  readonly cache: RingCache;
  readonly source: Source;
  readonly diary: Diary<HistoryEvent>;
  readonly random: () => number;
  /** Of this process, in the diary. */
  readonly by: string;
  /** Read by all; each is written by one. */
  readonly hot: readonly string[];
  /** Set once, and then only read. */
  readonly still: readonly string[];
  readonly isOwn: (key: string) => boolean;
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  /** Few take so long; most take none. */
  readonly longestLoadMs: number;
}

interface Versioned {
  readonly version: number;
}

interface Loaded {
  readonly key: string;
  readonly calledAt: number;
  readonly version: number;
}

const TICK_MS = 5;
/** What a process that stood still has missed is not made up for beyond this. */
const MOST_AT_ONCE = 40;
const MOST_UNDER_WAY = 400;
const OF_MANY = 4;
const PROBE = { tries: 20, pauseMs: 100 } as const;

export class Traffic {
  readonly #parts: TrafficParts;
  readonly #own: readonly string[];
  readonly #beingWritten = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  #ended = false;
  #loop: Promise<void> | undefined;
  operations = 0;

  constructor(parts: TrafficParts) {
    this.#parts = parts;
    this.#own = parts.hot.filter(parts.isOwn);
  }

  begin(): void {
    this.#loop = this.#run();
  }

  /** Resolves when all that was begun has its answer. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#loop;
    await Promise.all(this.#underWay);
  }

  /** Gives those of its keys a value that never had one. */
  async fill(): Promise<void> {
    const { source, hot, still, isOwn } = this.#parts;
    const own = [...hot, ...still].filter(isOwn);
    await Promise.all(
      own.map(async (key) => {
        if ((await source.version(key)) === 0) await this.#write(key, 'set');
      }),
    );
  }

  /**
   * Sets, reads and deletes each of its keys; resolves to those with which that
   * is not to be done, though it is tried again: a busy machine answers late.
   */
  async probe(): Promise<string[]> {
    const failed: string[] = [];
    for (const key of this.#own) {
      while (this.#beingWritten.has(key)) await sleep(1);
      this.#beingWritten.add(key);
      let isDone = await this.#probeOne(key);
      for (let tries = 1; !isDone && tries < PROBE.tries; tries++) {
        await sleep(PROBE.pauseMs);
        isDone = await this.#probeOne(key);
      }
      this.#beingWritten.delete(key);
      if (!isDone) failed.push(key);
    }
    return failed;
  }

  async #probeOne(key: string): Promise<boolean> {
    const isSet = await this.#write(key, 'set');
    const isThere = (await this.#parts.cache.get(key)) !== undefined;
    return (await this.#write(key, 'delete')) && isSet && isThere;
  }

  async #run(): Promise<void> {
    const { readsPerSecond, writesPerSecond, random } = this.#parts;
    let last = nowMs();
    let reads = 0;
    let writes = 0;
    while (!this.#ended) {
      const now = nowMs();
      reads = Math.min(MOST_AT_ONCE, reads + ((now - last) * readsPerSecond) / 1_000);
      writes = Math.min(MOST_AT_ONCE, writes + ((now - last) * writesPerSecond) / 1_000);
      last = now;
      while ((reads >= 1 || writes >= 1) && this.#underWay.size < MOST_UNDER_WAY) {
        const isWrite = writes >= 1 && (reads < 1 || random() < 0.2);
        if (isWrite) writes--;
        else reads--;
        this.#track(isWrite ? this.#writeOne() : this.#readOne());
      }
      await sleep(TICK_MS);
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

  #readOne(): Promise<void> {
    const manner = this.#parts.random();
    if (manner < 0.35) return this.#get(this.#key());
    if (manner < 0.8) return this.#getOrSet(this.#key());
    const keys = [...new Set(Array.from({ length: OF_MANY }, () => this.#key()))];
    return manner < 0.9 ? this.#getMany(keys) : this.#getOrSetMany(keys);
  }

  #key(): string {
    const { random, hot, still } = this.#parts;
    const keys = still.length === 0 || random() < 0.85 ? hot : still;
    return keys[Math.floor(random() * keys.length)]!;
  }

  async #get(key: string): Promise<void> {
    const start = nowMs();
    this.#saw(await this.#parts.cache.get<Versioned>(key), { key, start, how: 'get' });
  }

  async #getMany(keys: string[]): Promise<void> {
    const start = nowMs();
    const values = await this.#parts.cache.getMany<Versioned>(keys);
    for (const [i, key] of keys.entries()) this.#saw(values[i], { key, start, how: 'get' });
  }

  async #getOrSet(key: string): Promise<void> {
    const start = nowMs();
    let loaded: Loaded | undefined;
    const value = await this.#parts.cache.getOrSet<Versioned>(key, async () => {
      loaded = await this.#load(key);
      return { version: loaded.version };
    });
    this.#saw(value, { key, start, how: 'load' });
    if (loaded !== undefined) this.#loaded(loaded, start);
  }

  async #getOrSetMany(keys: string[]): Promise<void> {
    const start = nowMs();
    let loads: Loaded[] = [];
    const values = await this.#parts.cache.getOrSetMany<Versioned>(keys, async (missing) => {
      loads = await Promise.all(missing.map((key) => this.#load(key)));
      return loads.map(({ version }) => ({ version }));
    });
    for (const [i, key] of keys.entries()) this.#saw(values[i], { key, start, how: 'load' });
    for (const loaded of loads) this.#loaded(loaded, start);
  }

  async #load(key: string): Promise<Loaded> {
    const { random, source, longestLoadMs } = this.#parts;
    const calledAt = nowMs();
    const version = await source.version(key);
    // The row is read, then the answer takes its time: what is written meanwhile is missing in it.
    const manner = random();
    if (manner < 0.3) await sleep(manner < 0.02 ? longestLoadMs * (manner / 0.02) : 3);
    return { key, calledAt, version };
  }

  async #writeOne(): Promise<void> {
    const { random } = this.#parts;
    const key = this.#own[Math.floor(random() * this.#own.length)];
    if (key === undefined || this.#beingWritten.has(key)) return;
    this.#beingWritten.add(key);
    try {
      await this.#write(key, random() < 0.5 ? 'delete' : 'set');
    } finally {
      this.#beingWritten.delete(key);
    }
  }

  /** Resolves to whether it was acknowledged. */
  async #write(key: string, how: 'set' | 'delete'): Promise<boolean> {
    const { cache, source, diary, by } = this.#parts;
    const version = await source.raise(key);
    const start = nowMs();
    const taken = await (how === 'set' ? cache.set(key, { version }) : cache.delete(key));
    diary.write({ kind: 'write', by, key, start, end: nowMs(), how, version, taken });
    return taken;
  }

  #saw(
    value: Versioned | undefined,
    read: { key: string; start: number; how: 'get' | 'load' },
  ): void {
    const { diary, by } = this.#parts;
    diary.write({ kind: 'read', by, ...read, end: nowMs(), version: value?.version ?? null });
  }

  #loaded(loaded: Loaded, start: number): void {
    const { diary, by } = this.#parts;
    diary.write({ kind: 'load', by, start, end: nowMs(), ...loaded });
  }
}

/**
 * The lock libraries that are measured, each as clients with a connection of
 * their own: a benchmark opens many, as if every one were another process.
 *
 * What a library waits between two tries is its default, or what the row says.
 * How often it tries is not limited: a lock that was not granted has no latency.
 */

import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createLocks } from '../src/index.ts';

export type Release = () => PromiseLike<unknown>;

export interface LockClient {
  /** Waits until it is granted. */
  acquire(name: string): Promise<Release>;
  /**
   * Acquires it and keeps it as long as the library can, by its defaults.
   * Absent where a holder is never told of a loss.
   */
  keep?(name: string, ttlMs: number, onLost: () => void): Promise<Kept>;
}

export interface Kept {
  /** When it ends by what the holder knows now, by `performance.now()`. */
  validUntil(): number;
  letGo(): void;
}

/** Long enough that nothing expires, and the default of ringcache. */
const TTL_MS = 10_000;
const WAIT_MS = 60_000;
/** Until one that waits has its place in the queue. */
const QUEUE_UP_MS = 200;

/** redlock 4 and 5 are CommonJS and have no types that TypeScript finds. */
const require = createRequire(import.meta.url);

interface Redlock4 {
  lock(name: string, ttlMs: number): PromiseLike<{ unlock(): PromiseLike<void> }>;
}
type Redlock4Class = new (
  clients: Redis[],
  options: { retryCount: number; retryDelay: number; retryJitter: number },
) => Redlock4;

interface Redlock5 {
  acquire(names: string[], ttlMs: number): Promise<{ release(): Promise<unknown> }>;
  using(
    names: string[],
    ttlMs: number,
    settings: { retryCount: number },
    work: (signal: AbortSignal) => Promise<void>,
  ): Promise<void>;
}
type Redlock5Class = new (clients: Redis[], settings: { retryCount: number }) => Redlock5;

const OPENERS: Readonly<Record<string, (url: string) => LockClient | Promise<LockClient>>> = {
  raw: (url) => raw(new Redis(url)),
  ours,
  'ours-heard': heard,
  redlock4: (url) => redlock4(new Redis(url), { retryDelay: 200, retryJitter: 100 }),
  'redlock4-50': (url) => redlock4(new Redis(url), { retryDelay: 50, retryJitter: 20 }),
  redlock5: (url) => redlock5(new Redis(url)),
  'redis-semaphore': (url) => redisSemaphore(new Redis(url)),
};

export async function openLocks(row: string, url: string): Promise<LockClient> {
  const opener = OPENERS[row];
  if (opener === undefined) throw new Error(`no row ${row}`);
  return opener(url);
}

async function ours(url: string): Promise<LockClient> {
  // On a busy machine a server may get no processor for longer than the default of 100 ms.
  const node = { timeout: 5_000 };
  const locks = await createLocks({ nodes: [url], waitTimeout: WAIT_MS, node });
  return {
    acquire: async (name) => {
      const lock = await locks.acquire(name);
      return () => lock.release();
    },
    keep: async (name, ttlMs, onLost) => {
      const byDefault = await createLocks({ nodes: [url] });
      const lock = await byDefault.acquire(name, { ttl: ttlMs });
      lock.signal.addEventListener('abort', onLost, { once: true });
      return {
        validUntil: () => performance.now() + lock.remaining(),
        letGo: () => void byDefault[Symbol.asyncDispose](),
      };
    },
  };
}

/** One that has waited for a lock: it is told of those that are reserved for it from then on. */
async function heard(url: string): Promise<LockClient> {
  const [other, client] = await Promise.all([ours(url), ours(url)]);
  const name = `heard:${process.pid}`;
  const release = await other.acquire(name);
  const waiting = client.acquire(name);
  await sleep(QUEUE_UP_MS);
  await release();
  await (await waiting)();
  return client;
}

/** The least that two commands can do: nobody waits, nobody renews. */
async function raw(redis: Redis): Promise<LockClient> {
  const script = "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end";
  const sha = String(await redis.script('LOAD', script));
  return {
    acquire: async (name) => {
      const token = randomUUID();
      const granted = await redis.set(name, token, 'PX', TTL_MS, 'NX');
      if (granted !== 'OK') throw new Error(`${name} is held by another`);
      return () => redis.evalsha(sha, 1, name, token);
    },
  };
}

function redlock4(redis: Redis, pace: { retryDelay: number; retryJitter: number }): LockClient {
  const Redlock: Redlock4Class = require('redlock');
  const redlock = new Redlock([redis], { ...pace, retryCount: -1 });
  return {
    acquire: async (name) => {
      const lock = await redlock.lock(name, TTL_MS);
      return () => lock.unlock();
    },
  };
}

function redlock5(redis: Redis): LockClient {
  const { default: Redlock }: { default: Redlock5Class } = require('redlock5');
  const redlock = new Redlock([redis], { retryCount: -1 });
  return {
    acquire: async (name) => {
      const lock = await redlock.acquire([name], TTL_MS);
      return () => lock.release();
    },
    keep: (name, ttlMs, onLost) =>
      new Promise((resolve, reject) => {
        const done = Promise.withResolvers<void>();
        // Its own formula; what `using` holds cannot be asked.
        const validUntil = performance.now() + ttlMs - (Math.round(ttlMs * 0.01) + 2);
        const work = (signal: AbortSignal): Promise<void> => {
          signal.addEventListener('abort', onLost, { once: true });
          resolve({ validUntil: () => validUntil, letGo: () => done.resolve() });
          return done.promise;
        };
        // 10 is its default. The rejection at the end is of a release that found nothing.
        redlock.using([name], ttlMs, { retryCount: 10 }, work).catch(reject);
      }),
  };
}

async function redisSemaphore(redis: Redis): Promise<LockClient> {
  const { Mutex } = await import('redis-semaphore');
  const options = { acquireTimeout: WAIT_MS, retryInterval: 10 };
  return {
    acquire: async (name) => {
      const mutex = new Mutex(redis, name, { ...options, lockTimeout: TTL_MS });
      await mutex.acquire();
      return () => mutex.release();
    },
    keep: async (name, ttlMs, onLost) => {
      const mutex = new Mutex(redis, name, { ...options, lockTimeout: ttlMs, onLockLost: onLost });
      const validUntil = performance.now() + ttlMs;
      await mutex.acquire();
      return {
        validUntil: () => validUntil,
        letGo: () => void mutex.release().catch(() => {}),
      };
    },
  };
}

/** Caches for tests: closed afterwards, each test in a namespace of its own, so that epochs and keys are, too. */
import { afterEach, beforeEach } from 'vitest';
import {
  type CacheEvents,
  type CacheOptions,
  createCache,
  type RingCache,
} from '../../src/index.ts';
import { HashRing } from '../../src/ring/ring.ts';
import type { App, Fork } from '../support/fork.ts';
import type { CacheApp } from './cache-app.ts';

let tests = 0;

export interface CacheRoom {
  /** The namespace of the running test. */
  readonly namespace: string;
  /** A cache in this process. */
  open(options: CacheOptions): Promise<RingCache>;
  /** A cache in a process of its own. */
  openIn(fork: Fork, options: CacheOptions): Promise<App<CacheApp>>;
}

export function useCaches(): CacheRoom {
  const caches: RingCache[] = [];
  const room = { namespace: '', open, openIn };
  beforeEach(() => {
    tests += 1;
    room.namespace = `t${process.pid}-${tests}`;
  });
  afterEach(async () => {
    await Promise.all(caches.splice(0).map((cache) => cache.close()));
  });
  async function open(options: CacheOptions): Promise<RingCache> {
    const cache = await createCache({ namespace: room.namespace, jitter: 0, ...options });
    caches.push(cache);
    return cache;
  }
  async function openIn(fork: Fork, options: CacheOptions): Promise<App<CacheApp>> {
    const app = await fork<CacheApp>('../cache/cache-app.ts');
    const nodes = seats(options.nodes);
    await app.call('open', { namespace: room.namespace, jitter: 0, ...options, nodes });
    return app;
  }
  return room;
}

/** What a node is to a cache, without what only tests do with it; can be sent to a worker. */
export function seats(
  nodes: CacheOptions['nodes'],
): { id: string; url: string; weight?: number }[] {
  return nodes.map((node) => {
    if (typeof node === 'string') throw new TypeError('a node with an id is needed');
    const { id, url, weight } = node;
    return weight === undefined ? { id, url } : { id, url, weight };
  });
}

/** The first `count` keys `{prefix}{n}` that `cache` places on `node`. */
export function keysOn(
  cache: { ownerOf(key: string): string },
  node: string,
  { count = 1, prefix = 'k' } = {},
): string[] {
  const keys: string[] = [];
  for (let i = 0; keys.length < count; i += 1) {
    const key = `${prefix}${i}`;
    if (cache.ownerOf(key) === node) keys.push(key);
  }
  return keys;
}

export function keyOn(cache: { ownerOf(key: string): string }, node: string, prefix = 'k'): string {
  return keysOn(cache, node, { prefix })[0]!;
}

/** Keys whose owner changes from `from` to `to` between two lists of node ids. */
export async function movingKeys(
  move: { before: string[]; after: string[]; from: string; to: string },
  count = 1,
): Promise<string[]> {
  const ringOf = (ids: string[]) => HashRing.create(ids.map((id) => ({ id })));
  const [before, after] = await Promise.all([ringOf(move.before), ringOf(move.after)]);
  const keys: string[] = [];
  for (let i = 0; keys.length < count; i += 1) {
    const key = `m${i}`;
    if (before.owner(key) === move.from && after.owner(key) === move.to) keys.push(key);
  }
  return keys;
}

/** A load that stays open until it is let go. */
export class Held<T> {
  /** How often the loader was called. */
  calls = 0;
  readonly #begun = Promise.withResolvers<void>();
  readonly #end = Promise.withResolvers<T>();

  readonly loader = (): Promise<T> => {
    this.calls += 1;
    this.#begun.resolve();
    return this.#end.promise;
  };

  /** Resolves when the loader has been called. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  finish(value: T): void {
    this.#end.resolve(value);
  }

  fail(error: unknown): void {
    this.#end.reject(error);
  }
}

/** Collects all that an event said from now on. */
export function heard<E extends keyof CacheEvents>(
  cache: RingCache,
  event: E,
): CacheEvents[E][0][] {
  const all: CacheEvents[E][0][] = [];
  cache.on(event, (...args: CacheEvents[E]) => {
    all.push(args[0]);
  });
  return all;
}

export async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const start = performance.now();
  const value = await work();
  return { ms: performance.now() - start, value };
}

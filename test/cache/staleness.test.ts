/** What is served past its ttl, before it, and how long what is stored lives. */
import { describe, expect, test } from 'vitest';
import type { RingCache } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { Held, heard, useCaches } from './caches.ts';

const nodes = useNodes(2);
const fork = useFork();
const caches = useCaches();

const open = (options: object = {}) => caches.open({ nodes, staleTtl: '1m', ...options });

/** Stores a value that is stale when it returns. */
async function storeStale(cache: RingCache, key: string, value: unknown): Promise<void> {
  await cache.set(key, value, { ttl: 20 });
  await eventually(async () => (await cache.explain(key)).atNode === 'stale');
  await eventually(() => cache.peek(key) === undefined);
}

describe('a value past its ttl', () => {
  test('is served at once while one load goes on behind it, in two processes', async () => {
    const cache = await open();
    const app = await caches.openIn(fork, { nodes, staleTtl: '1m' });
    await storeStale(cache, 'k', 'old');
    const load = new Held<string>();
    const stale = Array.from({ length: 50 }, () => cache.getOrSet('k', load.loader));
    expect(new Set(await Promise.all(stale))).toEqual(new Set(['old']));
    await load.begun;
    expect(await app.call('getOrSet', 'k', 'from the app')).toBe('old');
    expect(await cache.getOrSet('k', load.loader)).toBe('old');
    load.finish('new');
    await eventually(async () => (await cache.get('k')) === 'new');
    expect(await app.call('getOrSet', 'k', 'from the app')).toBe('new');
    expect(load.calls).toBe(1);
    expect(await app.call('loads')).toBe(0);
    expect(cache.stats()).toMatchObject({ staleHits: 2, coalesced: 49 });
  });

  test('is served when loading fails, which is said by an event, and the next one tries again', async () => {
    const cache = await open();
    const failures = heard(cache, 'load:failed');
    await storeStale(cache, 'k', 'old');
    const failure = new Error('the database is away');
    expect(await cache.getOrSet('k', () => Promise.reject(failure))).toBe('old');
    await eventually(() => failures.length === 1);
    expect(failures).toEqual([{ key: 'k', error: failure }]);
    expect(await cache.getOrSet('k', () => 'back')).toBe('old');
    await eventually(async () => (await cache.get('k')) === 'back');
  });

  test('is not served past staleTtl', async () => {
    const cache = await open();
    await cache.set('k', 'old', { ttl: 20, staleTtl: 30 });
    await eventually(async () => (await cache.explain('k')).atNode === 'absent');
    await expect(cache.getOrSet('k', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  });

  test('is not served to who does not want it', async () => {
    const cache = await open();
    await storeStale(cache, 'k', 'old');
    expect(await cache.getOrSet('k', () => 'new', { staleTtl: 0 })).toBe('new');
  });

  test('is shown to the loader', async () => {
    const cache = await open();
    await storeStale(cache, 'k', { version: 1 });
    const shown: unknown[] = [];
    await cache.getOrSet('k', ({ stale }) => shown.push(stale));
    await eventually(() => shown.length === 1);
    expect(shown).toEqual([{ version: 1 }]);
    await cache.getOrSet('cold', ({ stale }) => shown.push(stale));
    expect(shown).toEqual([{ version: 1 }, undefined]);
  });

  test('is removed by a delete', async () => {
    const cache = await open();
    await storeStale(cache, 'k', 'old');
    await cache.delete('k');
    expect(await cache.getOrSet('k', () => 'new')).toBe('new');
  });

  test('many at once: the stale ones are served, and one load is for them and for the missing', async () => {
    const cache = await open();
    const keys = ['a', 'b', 'c', 'cc'];
    await Promise.all(keys.map((key) => storeStale(cache, key, `old ${key}`)));
    const calls: string[][] = [];
    const loader = (missing: string[]) => {
      calls.push(missing);
      return missing.map((key) => `new ${key}`);
    };
    const values = await cache.getOrSetMany([...keys, 'cold'], loader);
    expect(values).toEqual(['old a', 'old b', 'old c', 'old cc', 'new cold']);
    await eventually(async () => {
      expect(await cache.getMany(keys)).toEqual(keys.map((key) => `new ${key}`));
    });
    expect(calls.flat().toSorted((a, b) => a.localeCompare(b))).toEqual([...keys, 'cold']);
    expect(calls).toHaveLength(1);
  });
});

describe('with a soft timeout', () => {
  const soft = () => open({ load: { softTimeout: 60 } });

  test('a load that is quick enough gives the new value', async () => {
    const cache = await soft();
    await storeStale(cache, 'k', 'old');
    expect(await cache.getOrSet('k', () => 'new')).toBe('new');
  });

  test('one that is not gives the stale value then, goes on, and is stored', async () => {
    const cache = await soft();
    await storeStale(cache, 'k', 'old');
    const load = new Held<string>();
    const start = performance.now();
    expect(await cache.getOrSet('k', load.loader)).toBe('old');
    expect(performance.now() - start).toBeGreaterThan(55);
    // Nobody starts a second one meanwhile.
    expect(await cache.getOrSet('k', () => 'second')).toBe('old');
    load.finish('new');
    await eventually(async () => (await cache.get('k')) === 'new');
  });

  test('one that fails gives the stale value at once', async () => {
    const cache = await soft();
    await storeStale(cache, 'k', 'old');
    expect(await cache.getOrSet('k', () => Promise.reject(new Error('no')))).toBe('old');
  });

  test('it means nothing when there is no stale value', async () => {
    const cache = await soft();
    const load = new Held<string>();
    const caller = cache.getOrSet('k', load.loader);
    setTimeout(() => load.finish('new'), 150);
    expect(await caller).toBe('new');
  });
});

describe('an early refresh', () => {
  test('happens before the ttl ends, once, while the value is served', async () => {
    // With a beta this high the load of 30 ms is due at every look.
    const cache = await open({ earlyRefresh: 100, memory: false, ttl: '10s' });
    await cache.getOrSet('k', async () => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      return 'first';
    });
    const load = new Held<string>();
    await eventually(async () => {
      expect(await cache.getOrSet('k', load.loader)).toBe('first');
      expect(load.calls).toBe(1);
    });
    const more = Array.from({ length: 20 }, () => cache.getOrSet('k', load.loader));
    expect(new Set(await Promise.all(more))).toEqual(new Set(['first']));
    expect(load.calls).toBe(1);
    load.finish('second');
    await eventually(async () => (await cache.get('k')) === 'second');
    expect((await cache.explain('k')).ttlLeftMs).toBeGreaterThan(5_000);
  });

  test('loses against a set that comes meanwhile', async () => {
    const cache = await open({ earlyRefresh: 100, memory: false });
    await cache.getOrSet(
      'k',
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        return 'first';
      },
      { ttl: 500 },
    );
    const load = new Held<string>();
    await eventually(async () => {
      await cache.getOrSet('k', load.loader);
      expect(load.calls).toBe(1);
    });
    await cache.set('k', 'set');
    load.finish('refreshed');
    await eventually(() => cache.stats().fencedFills === 1);
    expect(await cache.get('k')).toBe('set');
  });

  test('is off unless it is asked for', async () => {
    const cache = await open({ memory: false });
    await cache.getOrSet('k', () => 'first', { ttl: 2_000 });
    for (let i = 0; i < 50; i += 1) await cache.getOrSet('k', () => 'second');
    expect(cache.stats().loads).toBe(1);
  });
});

describe('a life', () => {
  test('in memory began when the value was sent, however long the node took to answer', async () => {
    const proxy = await FaultProxy.start(nodes[0]!.port);
    const seat = { id: 'node-1', url: proxy.url };
    const cache = await caches.open({ nodes: [seat], node: { timeout: '1s' } });
    try {
      proxy.set({ kind: 'latency', ms: 150 });
      const start = performance.now();
      await Promise.all([
        cache.set('set', 1, { ttl: 600 }),
        cache.getOrSet('loaded', () => 1, { ttl: 200 }),
      ]);
      expect(cache.peek('set')).toBe(1);
      await eventually(() => cache.peek('set') === undefined && cache.peek('loaded') === undefined);
      expect(performance.now() - start).toBeLessThan(600 + 100);
    } finally {
      await cache.close();
      await proxy.close();
    }
  });

  const lifeOf = async (cache: RingCache, key: string) => (await cache.explain(key)).ttlLeftMs;

  test('is only ever shortened by jitter, by up to its share', async () => {
    const cache = await open({ ttl: 100_000, jitter: 0.5 });
    const keys = Array.from({ length: 60 }, (_, i) => `k${i}`);
    await cache.setMany(keys.map((key) => [key, 1]));
    const lives = await Promise.all(keys.map((key) => lifeOf(cache, key)));
    expect(Math.max(...lives)).toBeLessThanOrEqual(100_001);
    expect(Math.min(...lives)).toBeGreaterThan(48_000);
    expect(Math.max(...lives) - Math.min(...lives)).toBeGreaterThan(20_000);
  });

  test('of a null is negativeTtl, loaded or set; unless a call says otherwise', async () => {
    const cache = await open({ ttl: '1h', negativeTtl: '10s' });
    expect(await cache.getOrSet('loaded', () => null)).toBeNull();
    await cache.set('set', null);
    await cache.set('called', null, { ttl: '5m' });
    await cache.set('both', null, { ttl: '5m', negativeTtl: '1s' });
    expect(await lifeOf(cache, 'loaded')).toBeLessThanOrEqual(10_001);
    expect(await lifeOf(cache, 'set')).toBeLessThanOrEqual(10_001);
    expect(await lifeOf(cache, 'called')).toBeGreaterThan(290_000);
    expect(await lifeOf(cache, 'both')).toBeLessThanOrEqual(1_001);
    expect(await cache.get('loaded')).toBeNull();
    expect(await cache.getOrSet<unknown>('loaded', () => 'never')).toBeNull();
  });

  test('in memory ends with the ttl, if that comes before maxStale', async () => {
    const cache = await open({ memory: { maxStale: '1m' }, staleTtl: 0 });
    await cache.set('k', 'v', { ttl: 60 });
    expect(cache.peek('k')).toBe('v');
    await eventually(() => cache.peek('k') === undefined, { withinMs: 150 });
  });
});

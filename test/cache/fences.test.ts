/** P2, P3: what is set or deleted while something is loaded, read or copied wins. */
import { describe, expect, test } from 'vitest';
import type { RingCache } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { Held, heard, keyOn, useCaches } from './caches.ts';

const nodes = useNodes(2);
const fork = useFork();
const caches = useCaches();

/** Somebody who sets and deletes: the cache that loads, or a cache in another process. */
interface Writer {
  set(key: string, value: unknown): Promise<boolean>;
  delete(key: string): Promise<boolean>;
}

async function subjects(who: 'this' | 'another'): Promise<{ cache: RingCache; writer: Writer }> {
  const cache = await caches.open({ nodes });
  if (who === 'this') return { cache, writer: cache };
  const app = await caches.openIn(fork, { nodes });
  const writer = {
    set: (key: string, value: unknown) => app.call('set', key, value),
    delete: (key: string) => app.call('delete', key),
  };
  return { cache, writer };
}

describe.each(['this', 'another'] as const)('by %s process, during a load', (who) => {
  test('a delete wins: those who wait get the value, and nothing is stored', async () => {
    const { cache, writer } = await subjects(who);
    const load = new Held<string>();
    const callers = [cache.getOrSet('k', load.loader), cache.getOrSet('k', load.loader)];
    await load.begun;
    expect(await writer.delete('k')).toBe(true);
    load.finish('old');
    expect(await Promise.all(callers)).toEqual(['old', 'old']);
    expect(cache.peek('k')).toBeUndefined();
    expect(await cache.get('k')).toBeUndefined();
    expect(await cache.getOrSet('k', () => 'new')).toBe('new');
    expect(cache.stats().fencedFills).toBe(1);
  });

  test('a set wins: those who wait get the loaded value, and what was set stays', async () => {
    const { cache, writer } = await subjects(who);
    const load = new Held<string>();
    const caller = cache.getOrSet('k', load.loader);
    await load.begun;
    expect(await writer.set('k', 'set')).toBe(true);
    load.finish('loaded');
    expect(await caller).toBe('loaded');
    expect(await cache.get('k')).toBe('set');
    expect(await cache.getOrSet('k', () => 'never')).toBe('set');
    expect(cache.stats().fencedFills).toBe(1);
  });

  test('a delete wins over the load of a null', async () => {
    const { cache, writer } = await subjects(who);
    const load = new Held<null>();
    const caller = cache.getOrSet<unknown>('k', load.loader);
    await load.begun;
    expect(await writer.delete('k')).toBe(true);
    load.finish(null);
    expect(await caller).toBeNull();
    expect(await cache.get('k')).toBeUndefined();
    expect(await cache.getOrSet('k', () => 'row')).toBe('row');
  });

  test('sets and deletes of single keys win over a load of many', async () => {
    const { cache, writer } = await subjects(who);
    const keys = ['deleted', 'set', 'untouched'];
    const load = new Held<string[]>();
    const many = cache.getOrSetMany(keys, load.loader);
    await load.begun;
    expect(await writer.delete('deleted')).toBe(true);
    expect(await writer.set('set', 'by hand')).toBe(true);
    load.finish(['1', '2', '3']);
    expect(await many).toEqual(['1', '2', '3']);
    expect(await cache.getMany(keys)).toEqual([undefined, 'by hand', '3']);
  });

  test('a delete wins over the refresh behind a stale value', async () => {
    const { cache, writer } = await subjects(who);
    await cache.set('k', 'first', { ttl: 30, staleTtl: '1m' });
    await eventually(async () => (await cache.get('k')) === undefined);
    const load = new Held<string>();
    expect(await cache.getOrSet('k', load.loader, { staleTtl: '1m' })).toBe('first');
    await load.begun;
    expect(await writer.delete('k')).toBe(true);
    load.finish('refreshed');
    await eventually(() => cache.stats().fencedFills === 1);
    expect(await cache.get('k')).toBeUndefined();
    expect((await cache.explain('k')).atNode).toBe('absent');
    const next = new Held<string>();
    next.finish('new');
    expect(await cache.getOrSet('k', next.loader, { staleTtl: '1m' })).toBe('new');
  });
});

/** A load under way when a delete came, and one that began after it. */
async function loadsAroundADelete() {
  const cache = await caches.open({ nodes });
  const before = new Held<string>();
  const early = cache.getOrSet('k', before.loader);
  await before.begun;
  await cache.delete('k');
  const after = new Held<string>();
  const late = cache.getOrSet('k', after.loader);
  await after.begun;
  return { cache, before, early, after, late };
}

test('who asks after a delete does not join the load that began before it', async () => {
  const { cache, before, early, after, late } = await loadsAroundADelete();
  after.finish('new');
  expect(await late).toBe('new');
  before.finish('old');
  expect(await early).toBe('old');
  expect(cache.peek('k')).toBe('new');
  expect(await cache.get('k')).toBe('new');
});

test('a load that ends after one that began later does not remove it from those under way', async () => {
  const { cache, before, early, after, late } = await loadsAroundADelete();
  before.finish('old');
  expect(await early).toBe('old');
  // A turn later the first one has left.
  await cache.get('another key');
  const joined = cache.getOrSet('k', () => 'a third load');
  expect(cache.stats().coalesced).toBe(1);
  after.finish('new');
  expect(await Promise.all([late, joined])).toEqual(['new', 'new']);
});

test('who asks after a set does not join the load that began before it', async () => {
  const cache = await caches.open({ nodes, memory: false });
  const before = new Held<string>();
  const early = cache.getOrSet('k', before.loader);
  await before.begun;
  await cache.set('k', 'set');
  expect(await cache.getOrSet('k', () => 'never')).toBe('set');
  before.finish('old');
  expect(await early).toBe('old');
});

describe('a read that began before a delete', () => {
  /** A cache that reaches the first node through a proxy, and a key of that node with a value. */
  async function delayed(): Promise<{ proxy: FaultProxy; cache: RingCache; key: string }> {
    const proxy = await FaultProxy.start(nodes[0]!.port);
    const direct = await caches.open({ nodes });
    const key = keyOn(direct, 'node-1');
    await direct.set(key, 'old');
    const seat = { id: 'node-1', url: proxy.url };
    const cache = await caches.open({ nodes: [seat, nodes[1]!], node: { timeout: '3s' } });
    return { proxy, cache, key };
  }

  const reads = {
    get: (cache: RingCache, key: string) => cache.get(key),
    getMany: async (cache: RingCache, key: string) => (await cache.getMany([key]))[0],
    getOrSet: (cache: RingCache, key: string) => cache.getOrSet(key, () => 'never'),
  };

  test.each(Object.keys(reads) as (keyof typeof reads)[])(
    '(%s) does not put the old value into memory when its answer comes after it',
    async (how) => {
      const { proxy, cache, key } = await delayed();
      try {
        proxy.set({ kind: 'hold' });
        const read = reads[how](cache, key);
        // The read is on its way: the node has answered it, and the answer is held.
        await eventually(() => cache.stats().nodes['node-1']?.inFlight !== 0);
        const deleted = cache.delete(key);
        await eventually(() => cache.stats().nodes['node-1']!.inFlight >= 2);
        proxy.set({ kind: 'none' });
        expect(await read).toBe('old');
        expect(await deleted).toBe(true);
        expect(cache.peek(key)).toBeUndefined();
        expect(await cache.get(key)).toBeUndefined();
      } finally {
        await cache.close();
        await proxy.close();
      }
    },
  );

  test('does not put the old value over what was set meanwhile', async () => {
    const { proxy, cache, key } = await delayed();
    try {
      proxy.set({ kind: 'hold' });
      const read = cache.get(key);
      await eventually(() => cache.stats().nodes['node-1']?.inFlight !== 0);
      const set = cache.set(key, 'new');
      await eventually(() => cache.stats().nodes['node-1']!.inFlight >= 2);
      proxy.set({ kind: 'none' });
      expect(await read).toBe('old');
      expect(await set).toBe(true);
      expect(await cache.get(key)).toBe('new');
      expect(cache.peek(key)).toBe('new');
    } finally {
      await cache.close();
      await proxy.close();
    }
  });
});

test('a delete while the node is away is done before anything is read from it again', async () => {
  const proxy = await FaultProxy.start(nodes[0]!.port);
  const seat = { id: 'node-1', url: proxy.url };
  const cache = await caches.open({ nodes: [seat, nodes[1]!], breaker: { resetTimeout: 100 } });
  const key = keyOn(cache, 'node-1');
  const unconfirmed = heard(cache, 'invalidation:unconfirmed');
  const confirmed = heard(cache, 'invalidation:confirmed');
  try {
    await cache.set(key, 'old');
    await proxy.refuse();
    expect(await cache.delete(key)).toBe(false);
    expect(await cache.get(key)).toBeUndefined();
    expect(unconfirmed).toEqual([{ key, node: 'node-1' }]);
    await proxy.accept();
    await eventually(() => cache.topology.nodes[0]!.state === 'up');
    expect(confirmed).toEqual([{ key, node: 'node-1' }]);
    expect(await cache.get(key)).toBeUndefined();
    expect(await cache.getOrSet(key, () => 'new')).toBe('new');
  } finally {
    await cache.close();
    await proxy.close();
  }
});

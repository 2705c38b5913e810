/** Outages of everything, and what operators do to servers in use. */
import { describe, expect, test } from 'vitest';
import type { RingCache } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { Held, heard, keyOn, keysOn, timed, useCaches } from './caches.ts';

const nodes = useNodes(3);
const caches = useCaches();

const BREAKER = { resetTimeout: 100 };

describe('all nodes away at the start', () => {
  test('the cache starts, serves through loaders, and heals by itself', async () => {
    await Promise.all(nodes.map((node) => node.kill()));
    const { ms, value: cache } = await timed(() => caches.open({ nodes, breaker: BREAKER }));
    expect(ms).toBeLessThan(1_000);
    expect(cache.topology.nodes.map(({ state }) => state)).toEqual(['down', 'down', 'down']);
    const ups = heard(cache, 'node:up');
    const read = await timed(() => cache.getOrSet('k', () => 'loaded'));
    expect(read.value).toBe('loaded');
    expect(read.ms).toBeLessThan(20);
    expect(await cache.get('other')).toBeUndefined();
    expect(await cache.getMany(['a', 'b'])).toEqual([undefined, undefined]);
    expect(await cache.set('k', 1)).toBe(false);
    expect(await cache.delete('k')).toBe(false);
    await Promise.all(nodes.map((node) => node.restart()));
    await eventually(() => cache.topology.nodes.every(({ state }) => state === 'up'));
    expect(ups.map(({ node }) => node).toSorted((a, b) => a.localeCompare(b))).toEqual([
      ...['node-1', 'node-2', 'node-3'],
    ]);
    expect(await cache.set('k', 'stored')).toBe(true);
    expect(await (await caches.open({ nodes })).get('k')).toBe('stored');
  });

  test('nodes that swallow everything cost a bounded time to start with', async () => {
    const proxies = await Promise.all(nodes.map((node) => FaultProxy.start(node.port)));
    for (const proxy of proxies) proxy.set({ kind: 'blackhole' });
    const seats = proxies.map(({ url }, i) => ({ id: `node-${i + 1}`, url }));
    const { ms, value: cache } = await timed(() => caches.open({ nodes: seats, breaker: BREAKER }));
    expect(ms).toBeLessThan(1_500);
    expect((await timed(() => cache.getOrSet('k', () => 1))).ms).toBeLessThan(150);
    for (const proxy of proxies) proxy.set({ kind: 'none' });
    await eventually(() => cache.topology.nodes.every(({ state }) => state === 'up'));
    expect(await cache.set('k', 'stored')).toBe(true);
    await cache.close();
    await Promise.all(proxies.map((proxy) => proxy.close()));
  });
});

test('what was loaded while its node was away is kept in memory, and looked at anew when it is back', async () => {
  const cache = await caches.open({ nodes, memory: { maxStale: '1m' }, breaker: BREAKER });
  const key = keyOn(cache, 'node-1');
  await nodes[0]!.kill();
  await eventually(() => cache.topology.nodes[0]!.state === 'down');
  expect(await cache.getOrSet(key, () => 'loaded')).toBe('loaded');
  expect(await cache.getOrSet(key, () => 'never')).toBe('loaded');
  await nodes[0]!.restart();
  await eventually(() => cache.topology.nodes[0]!.state === 'up');
  expect(cache.peek(key)).toBeUndefined();
  expect(await cache.getOrSet(key, () => 'anew')).toBe('anew');
});

test('memory serves what it has while the node is away', async () => {
  const cache = await caches.open({ nodes, memory: { maxStale: '1m' } });
  const key = keyOn(cache, 'node-1');
  await cache.set(key, 'held');
  await nodes[0]!.kill();
  expect(await cache.get(key)).toBe('held');
  expect(await cache.getOrSet(key, () => 'never')).toBe('held');
});

test('a stale value outlives the failure of its loader, not that of its node', async () => {
  const cache = await caches.open({ nodes, staleTtl: '1m', memory: false, breaker: BREAKER });
  const key = keyOn(cache, 'node-1');
  await cache.set(key, 'old', { ttl: 20 });
  await eventually(async () => (await cache.explain(key)).atNode === 'stale');
  await nodes[0]!.kill();
  await eventually(() => cache.topology.nodes[0]!.state === 'down');
  await expect(cache.getOrSet(key, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
});

test('a node that dies during a load costs the storing, not the caller', async () => {
  const cache = await caches.open({ nodes });
  const key = keyOn(cache, 'node-1');
  const load = new Held<string>();
  const caller = cache.getOrSet(key, load.loader);
  await load.begun;
  await nodes[0]!.kill();
  load.finish('value');
  expect(await caller).toBe('value');
  expect(load.calls).toBe(1);
});

test('a node that hangs during a load costs at most its budget, and its loader one call', async () => {
  const cache = await caches.open({ nodes });
  const key = keyOn(cache, 'node-1');
  const load = new Held<string>();
  const caller = cache.getOrSet(key, load.loader);
  await load.begun;
  await nodes[0]!.pause();
  const { ms } = await timed(async () => {
    load.finish('value');
    expect(await caller).toBe('value');
  });
  expect(ms).toBeLessThan(150);
  expect(load.calls).toBe(1);
});

/** Reads and writes all the time; what went wrong is told at the end. */
function traffic(cache: RingCache) {
  const control = new AbortController();
  const errors: unknown[] = [];
  const wrong: unknown[] = [];
  let reads = 0;
  const loop = (async () => {
    for (let i = 0; !control.signal.aborted; i += 1) {
      const keys = Array.from({ length: 20 }, (_, j) => `k${(i * 20 + j) % 500}`);
      const calls = keys.map(async (key) => {
        const value = await cache.getOrSet(key, () => `value of ${key}`);
        if (value !== `value of ${key}`) wrong.push(value);
        if (i % 10 === 0) await cache.delete(key);
      });
      for (const one of await Promise.allSettled(calls)) {
        if (one.status === 'rejected') errors.push(one.reason);
      }
      reads += keys.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  return {
    reads: () => reads,
    async stop() {
      control.abort();
      await loop;
      return { errors, wrong };
    },
  };
}

describe('under traffic', () => {
  test('FLUSHALL costs misses: the epoch comes back, nothing fails', async () => {
    const cache = await caches.open({ nodes, memory: false, breaker: BREAKER });
    const running = traffic(cache);
    for (let round = 0; round < 3; round += 1) {
      const before = running.reads();
      await eventually(() => running.reads() > before + 500);
      for (const node of nodes) await command(node, 'FLUSHALL');
      await eventually(async () => {
        for (const node of nodes) {
          expect(await command(node, 'EXISTS', `${caches.namespace}:e`)).toBe(':1\r\n');
        }
      });
    }
    expect(await running.stop()).toEqual({ errors: [], wrong: [] });
    await eventually(() => cache.topology.nodes.every(({ state }) => state === 'up'));
    expect(await cache.set('k', 1)).toBe(true);
    expect(cache.topology).toMatchObject({ epoch: 1, state: 'stable' });
  });

  test('FLUSHALL after changes of the ring brings back the present epoch, not the first', async () => {
    const cache = await caches.open({ nodes: nodes.slice(0, 2), memory: false, breaker: BREAKER });
    await (await cache.addNode(nodes[2]!)).done;
    for (const node of nodes) await command(node, 'FLUSHALL');
    const key = keyOn(cache, 'node-3');
    expect(await cache.getOrSet(key, () => 1)).toBe(1);
    await eventually(async () => expect(await cache.set(key, 2)).toBe(true));
    const fence = await command(nodes[2]!, 'GET', `${caches.namespace}:e`);
    expect(fence).toMatch(/0*3:/);
  });

  test('SCRIPT FLUSH costs nothing that anybody sees', async () => {
    const cache = await caches.open({ nodes, memory: false });
    const running = traffic(cache);
    for (let round = 0; round < 5; round += 1) {
      const before = running.reads();
      await eventually(() => running.reads() > before + 200);
      for (const node of nodes) await command(node, 'SCRIPT', 'FLUSH');
    }
    expect(await running.stop()).toEqual({ errors: [], wrong: [] });
    expect(cache.stats().unprotectedLoads).toBe(0);
    expect(cache.stats().unconfirmed).toBe(0);
  });

  test('nodes that are killed and restarted one after the other fail nobody', async () => {
    const cache = await caches.open({ nodes, memory: false, breaker: BREAKER });
    const running = traffic(cache);
    for (const [i, node] of nodes.entries()) {
      const before = running.reads();
      await eventually(() => running.reads() > before + 300);
      await node.kill();
      await eventually(() => cache.topology.nodes[i]!.state === 'down');
      await node.restart();
      await eventually(() => cache.topology.nodes[i]!.state === 'up');
    }
    expect(await running.stop()).toEqual({ errors: [], wrong: [] });
  });
});

test.each(['get', 'getMany', 'getOrSet', 'set', 'delete'] as const)(
  'a node that has evicted its epoch is given it back before it is believed (%s)',
  async (how) => {
    const cache = await caches.open({ nodes, memory: false });
    const key = keyOn(cache, 'node-1');
    await cache.set(key, 'v');
    await command(nodes[0]!, 'DEL', `${caches.namespace}:e`);
    const operations = {
      get: () => cache.get(key),
      getMany: async () => (await cache.getMany([key]))[0],
      getOrSet: () => cache.getOrSet(key, () => 'never'),
      set: () => cache.set(key, 'v'),
      delete: () => cache.delete(key),
    };
    expect(['v', true]).toContain(await operations[how]());
    expect(await command(nodes[0]!, 'EXISTS', `${caches.namespace}:e`)).toBe(':1\r\n');
    expect(cache.topology).toMatchObject({ epoch: 1, state: 'stable' });
  },
);

test('a set that its node did not take does not leave the older value to be read when it is back', async () => {
  const proxy = await FaultProxy.start(nodes[0]!.port);
  const seats = [{ id: 'node-1', url: proxy.url }, nodes[1]!, nodes[2]!];
  const cache = await caches.open({ nodes: seats, breaker: BREAKER });
  const direct = await caches.open({ nodes, memory: false });
  const keys = keysOn(cache, 'node-1', { count: 50 });
  await cache.setMany(keys.map((key) => [key, 'old']));
  proxy.set({ kind: 'blackhole' });
  const settled = await cache.setMany(keys.map((key) => [key, 'new']));
  expect(new Set(settled)).toEqual(new Set([false]));
  proxy.set({ kind: 'none' });
  proxy.reset();
  expect(await cache.getMany(keys)).not.toContain('old');
  await eventually(() => cache.stats().nodes['node-1']?.unconfirmed === 0);
  await eventually(() => cache.topology.nodes[0]!.state === 'up');
  expect(await cache.getMany(keys)).not.toContain('old');
  expect(await direct.getMany(keys)).not.toContain('old');
  await cache.close();
  await proxy.close();
});

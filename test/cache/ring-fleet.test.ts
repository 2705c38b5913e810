/** P7: several processes, of which one changes the ring, and the others have not heard of it. */
import { describe, expect, test } from 'vitest';
import { type RingCache, TopologyBusyError, TopologyConflictError } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { command, useNodes } from '../support/nodes.ts';
import { keyOn, keysOn, seats, timed, useCaches } from './caches.ts';

const nodes = useNodes(4);
const fork = useFork();
const caches = useCaches();
const three = () => nodes.slice(0, 3);

test('a process with the old list hears of a change at the first node it asks, and adopts it', async () => {
  const cache = await caches.open({ nodes: three(), memory: false });
  const app = await caches.openIn(fork, { nodes: three(), memory: false });
  await app.call('set', 'k', 'from the app');
  await (await cache.addNode(nodes[3]!)).done;
  const moved = keyOn(cache, 'node-4', 'moved');
  expect(await cache.set(moved, 'new')).toBe(true);
  expect(await app.call('get', moved)).toBe('new');
  expect(await app.call('topology')).toMatchObject({ epoch: 3, state: 'stable' });
  const events = await app.call('events');
  expect(events.map(({ name }) => name)).toContain('topology:adopted');
  expect(events.at(-1)?.said).toMatchObject({
    epoch: 3,
    nodes: cache.topology.nodes.map(({ id }) => id),
  });
  expect(await app.call('set', moved, 'newer')).toBe(true);
  expect(await cache.get(moved)).toBe('newer');
  expect(await app.call('rejections')).toEqual([]);
});

test('a process that is started afterwards with the old list adopts the newer document', async () => {
  const cache = await caches.open({ nodes: three() });
  await (await cache.addNode(nodes[3]!)).done;
  await (await cache.removeNode('node-1')).done;
  const late = await caches.open({ nodes: three(), memory: false });
  expect(late.topology).toMatchObject({ epoch: 5, fingerprint: cache.topology.fingerprint });
  const key = keyOn(cache, 'node-4');
  await cache.set(key, 'v');
  expect(await late.get(key)).toBe('v');
  // Even if it knows none but the node that has left.
  const lost = await caches.open({ nodes: [nodes[0]!], memory: false });
  await eventually(async () => (await lost.get(key)) === 'v');
  expect(lost.topology.epoch).toBe(5);
});

test('a process that is started while the ring changes joins the change', async () => {
  const control = new AbortController();
  const cache = await caches.open({ nodes: three() });
  const keys = Array.from({ length: 1_000 }, (_, i) => `k${i}`);
  await cache.setMany(keys.map((key) => [key, 'v']));
  const change = await cache.addNode(nodes[3]!, { keysPerSecond: 1, signal: control.signal });
  const late = await caches.open({ nodes: three(), memory: false });
  expect(late.topology).toMatchObject({ epoch: 2, state: 'joint' });
  expect(new Set(await late.getMany(keys))).toEqual(new Set(['v']));
  control.abort();
  await change.done;
  expect(await late.set(keyOn(late, 'node-4'), 1)).toBe(true);
  expect(late.topology).toMatchObject({ epoch: 3, state: 'stable' });
});

test('a process that is started with another list under the same epoch is refused, and changes nothing', async () => {
  const cache = await caches.open({ nodes: three() });
  await cache.set('k', 'v');
  const fence = await command(nodes[0]!, 'GET', `${caches.namespace}:e`);
  for (const other of [nodes.slice(0, 2), nodes.slice(0, 4)]) {
    const refused = caches.open({ nodes: other });
    await expect(refused).rejects.toThrow(TopologyConflictError);
    await expect(refused).rejects.toMatchObject({ code: 'RINGCACHE_TOPOLOGY_CONFLICT' });
  }
  const weighted = seats(three()).map((seat, i) => ({ ...seat, weight: i + 1 }));
  await expect(caches.open({ nodes: weighted })).rejects.toThrow(TopologyConflictError);
  expect(await command(nodes[0]!, 'GET', `${caches.namespace}:e`)).toBe(fence);
  expect(await cache.get('k')).toBe('v');
});

describe('a process that asks none but the node that leaves', () => {
  test.each([true, false])('reads nothing old there (warm: %s)', async (warm) => {
    const cache = await caches.open({ nodes: three(), memory: false });
    const other = await caches.open({ nodes: three(), memory: false });
    const key = keyOn(cache, 'node-3');
    await cache.set(key, 'old');
    expect(await other.get(key)).toBe('old');
    await (await cache.removeNode('node-3', { warm })).done;
    expect(await cache.set(key, 'new')).toBe(true);
    expect(await other.get(key)).toBe('new');
    await cache.delete(key);
    expect(await other.get(key)).toBeUndefined();
    expect(other.topology.epoch).toBe(cache.topology.epoch);
  });

  test.each([true, false])('stores and removes nothing there (warm: %s)', async (warm) => {
    const cache = await caches.open({ nodes: three(), memory: false });
    const other = await caches.open({ nodes: three(), memory: false });
    const [set = '', removed = ''] = keysOn(cache, 'node-3', { count: 2 });
    await cache.set(removed, 'old');
    await (await cache.removeNode('node-3', { warm })).done;
    await cache.set(removed, 'newer');
    expect(await other.set(set, 'by the other')).toBe(true);
    expect(await cache.get(set)).toBe('by the other');
    expect(await other.delete(removed)).toBe(true);
    expect(await cache.get(removed)).toBeUndefined();
  });
});

test('a process that adopts while a node hangs loads nothing of the other nodes', async () => {
  const cache = await caches.open({ nodes: three(), memory: false });
  const other = await caches.open({ nodes: three(), memory: false });
  const keys = keysOn(cache, 'node-1', { count: 300 });
  await cache.setMany(keys.map((key) => [key, 'v']));
  const change = await cache.addNode(nodes[3]!);
  await change.done;
  await nodes[1]!.pause();
  let loads = 0;
  const load = (): string => {
    loads += 1;
    return 'loaded';
  };
  // node-2 of the process that adopts looks healthy: it has not been asked yet.
  const values = await Promise.all(keys.map((key) => other.getOrSet(key, load)));
  expect(new Set(values)).toEqual(new Set(['v']));
  expect(loads).toBe(0);
  expect(other.topology.epoch).toBe(3);
});

/** A ring of four, and a process that has not heard of the fourth, which hangs. */
async function aboutToAdopt(): Promise<{ cache: RingCache; other: RingCache; key: string }> {
  const options = { nodes: three(), memory: false as const };
  const [cache, other] = [await caches.open(options), await caches.open(options)];
  await (await cache.addNode(nodes[3]!, { warm: false })).done;
  const key = keyOn(cache, 'node-1');
  await cache.set(key, 'v');
  await nodes[3]!.pause();
  return { cache, other, key };
}

test.each(['get', 'getMany', 'getOrSet'] as const)(
  'a process that adopts a node that hangs does not make a reader wait for it (%s)',
  async (how) => {
    const { other, key } = await aboutToAdopt();
    const reads = {
      get: () => other.get(key),
      getMany: async () => (await other.getMany([key]))[0],
      getOrSet: () => other.getOrSet(key, () => 'loaded'),
    };
    const { ms, value } = await timed(reads[how]);
    expect(ms).toBeLessThan(100 + 50);
    expect(['v', 'loaded', undefined]).toContain(value);
    await eventually(() => other.topology.epoch === 3);
    expect(await other.get(key)).toBe('v');
  },
);

test.each(['set', 'delete'] as const)(
  'a process that adopts a node that hangs does not make a writer wait for it (%s)',
  async (how) => {
    const { cache, other, key } = await aboutToAdopt();
    const write = { set: () => other.set(key, 'w'), delete: () => other.delete(key) }[how];
    const { ms, value } = await timed(write);
    // The attempt, the note that it failed, and another attempt.
    expect(ms).toBeLessThan(3 * 100 + 50);
    // What was given up in time is made up for.
    if (!value) await eventually(async () => (await cache.get(key)) === undefined);
    else expect(await cache.get(key)).not.toBe('v');
  },
);

test('of two processes that change the ring at once, one is told that it has to wait', async () => {
  const caching = [await caches.open({ nodes: three() }), await caches.open({ nodes: three() })];
  const settled = await Promise.allSettled([
    caching[0]!.removeNode('node-1'),
    caching[1]!.removeNode('node-3'),
  ]);
  const [done] = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const [refused] = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
  expect(refused).toBeInstanceOf(TopologyBusyError);
  await done?.done;
  await eventually(async () => {
    await Promise.all(caching.map((cache) => cache.getMany(['a', 'b', 'c', 'd', 'e', 'f'])));
    expect(caching.map(({ topology }) => topology.state)).toEqual(['stable', 'stable']);
    expect(caching[0]!.topology.fingerprint).toBe(caching[1]!.topology.fingerprint);
    expect(caching[0]!.topology.nodes).toHaveLength(2);
  });
});

test('what one process has in memory is not older than maxStale when another has replaced it', async () => {
  const reader = await caches.open({ nodes: three(), memory: { maxStale: 200 } });
  const app = await caches.openIn(fork, { nodes: three() });
  await reader.set('k', 'old');
  expect(reader.peek('k')).toBe('old');
  await app.call('set', 'k', 'new');
  const replacedAt = performance.now();
  await eventually(async () => (await reader.get('k')) === 'new');
  expect(performance.now() - replacedAt).toBeLessThan(200 + 100);
});

test('memory keeps what did not move, and drops what did', async () => {
  const cache = await caches.open({ nodes: three(), memory: { maxStale: '1m' } });
  const keys = Array.from({ length: 500 }, (_, i) => `k${i}`);
  await cache.setMany(keys.map((key) => [key, 'v']));
  // Two keys that share a counter cost each other their place in memory now and then.
  const before = keys.flatMap((key) => {
    return cache.peek(key) === 'v' ? [{ key, owner: cache.ownerOf(key) }] : [];
  });
  expect(before.length).toBeGreaterThan(450);
  await (await cache.addNode(nodes[3]!, { warm: false })).done;
  for (const { key, owner } of before) {
    expect(cache.peek(key)).toBe(owner === cache.ownerOf(key) ? 'v' : undefined);
  }
});

// What is asked of one node at once, and how long a read may wait for a node
// that is slow but answers.
import { afterAll, expect, test } from 'vitest';
import { createCache, type RingCache } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';

const nodes = useNodes(2);
const open: { close(): Promise<void> }[] = [];
afterAll(() => Promise.all(open.map((one) => one.close())));

async function cacheOf(namespace: string, url = nodes[0]!.url): Promise<RingCache> {
  const cache = await createCache({ nodes: [{ id: 'n', url }], namespace, memory: false });
  open.push(cache);
  return cache;
}

const keys = Array.from({ length: 9_000 }, (_, i) => `key:${i}`);

// All of it in one turn would take this process longer to send and to read
// than the first of it has time for.
test('9,000 writes and 150,000 reads at once are all done', async () => {
  const cache = await cacheOf('bulk');
  const taken = await cache.setMany(keys.map((key) => [key, { key }]));
  expect(taken.filter((one) => !one)).toEqual([]);
  const many = Array.from({ length: 150_000 }, (_, i) => keys[i % keys.length]!);
  const found = await cache.getMany(many);
  expect(found.filter((value) => value === undefined)).toEqual([]);
  expect(cache.stats().nodes['n']).toMatchObject({ rejected: 0, timeouts: 0, opened: 0 });
});

test('a bulk load of 9,000 missing keys is one call, and all of it is stored', async () => {
  const cache = await cacheOf('load');
  let calls = 0;
  await cache.getOrSetMany(keys, (missing) => {
    calls++;
    return missing;
  });
  expect(calls).toBe(1);
  expect(cache.stats().unprotectedLoads).toBe(0);
  expect((await cache.getMany(keys)).filter((value) => value === undefined)).toEqual([]);
});

// Goal: the time of a node is that of the whole read, not of each of its
// requests. Method: 60 ms a request, so that read and lease together are too much.
test('a slow node costs a read its timeout once, not once a request', async () => {
  await using proxy = await FaultProxy.start(nodes[0]!.port);
  const cache = await cacheOf('slow', proxy.url);
  proxy.set({ kind: 'latency', ms: 60 });
  for (const key of ['a', 'b', 'c']) {
    const startedAt = performance.now();
    expect(await cache.getOrSet(key, () => key)).toBe(key);
    expect(performance.now() - startedAt).toBeLessThan(100 + 50);
  }
  proxy.set({ kind: 'none' });
  // Granted after its asker had gone on without it, it does not stand in anybody's way.
  await eventually(async () => !(await cache.explain('a')).leased, { withinMs: 2_000 });
  await cache.close();
});

// While the ring changes, what the owner lacks is asked of the previous one, in
// what time is left.
test('two slow nodes cost a read the same', async () => {
  await using previous = await FaultProxy.start(nodes[0]!.port);
  await using owner = await FaultProxy.start(nodes[1]!.port);
  const cache = await cacheOf('joint', previous.url);
  await cache.setMany(keys.map((key) => [key, key]));
  await cache.addNode({ id: 'm', url: owner.url }, { keysPerSecond: 1 });
  const moved = keys.filter((key) => cache.ownerOf(key) === 'm').slice(-3);
  for (const proxy of [previous, owner]) proxy.set({ kind: 'latency', ms: 90 });
  for (const key of moved) {
    const startedAt = performance.now();
    expect([key, undefined]).toContain(await cache.get(key));
    expect(performance.now() - startedAt).toBeLessThan(100 + 50);
  }
  for (const proxy of [previous, owner]) proxy.set({ kind: 'none' });
  await cache.close();
});

/** What a cache says of itself: explain, stats, topology, events. */
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { Held, heard, keyOn, movingKeys, useCaches } from './caches.ts';

const nodes = useNodes(3);
const caches = useCaches();
const open = (options: object = {}) => caches.open({ nodes, ...options });

describe('explain', () => {
  test('tells where a key is through its life', async () => {
    const cache = await open({ staleTtl: '1m' });
    const absent = await cache.explain('k');
    expect(absent).toEqual({
      key: 'k',
      owner: cache.ownerOf('k'),
      previousOwner: undefined,
      epoch: 1,
      inMemory: false,
      atNode: 'absent',
      ttlLeftMs: 0,
      leftMs: 0,
      leased: false,
      leaseLeftMs: 0,
      breaker: 'closed',
    });
    const load = new Held<string>();
    const caller = cache.getOrSet('k', load.loader, { ttl: 200 });
    await load.begun;
    const loading = await cache.explain('k');
    expect(loading).toMatchObject({ leased: true, atNode: 'absent' });
    expect(loading.leaseLeftMs).toBeGreaterThan(5_000);
    load.finish('v');
    await caller;
    const fresh = await cache.explain('k');
    expect(fresh).toMatchObject({ leased: false, atNode: 'fresh', inMemory: true });
    expect(fresh.ttlLeftMs).toBeGreaterThan(50);
    expect(fresh.leftMs).toBeGreaterThan(59_000);
    await eventually(async () => {
      expect(await cache.explain('k')).toMatchObject({
        atNode: 'stale',
        ttlLeftMs: 0,
        inMemory: false,
      });
    });
  });

  test('says that a node cannot be asked, and who is asked while the ring changes', async () => {
    const cache = await caches.open({ nodes: nodes.slice(0, 2) });
    await cache.setMany(Array.from({ length: 2_000 }, (_, i) => [`x${i}`, i]));
    const before = ['node-1', 'node-2'];
    const [key = ''] = await movingKeys({
      before,
      after: [...before, 'node-3'],
      from: 'node-1',
      to: 'node-3',
    });
    const control = new AbortController();
    const change = await cache.addNode(nodes[2]!, { keysPerSecond: 1, signal: control.signal });
    expect(await cache.explain(key)).toMatchObject({
      ...{ owner: 'node-3', previousOwner: 'node-1', epoch: 2 },
    });
    control.abort();
    await change.done;
    expect(await cache.explain(key)).toMatchObject({ previousOwner: undefined, epoch: 3 });
    await nodes[2]!.kill();
    await eventually(() => cache.topology.nodes[2]!.state === 'down');
    expect(await cache.explain(key)).toMatchObject({ atNode: 'unavailable', breaker: 'open' });
  });
});

test('stats count what happened, as plain numbers', async () => {
  const cache = await open();
  await cache.getOrSet('k', () => 1); // a miss, a load
  await cache.getOrSet('k', () => 1); // from memory
  await cache.get('k'); // from memory
  await cache.getOrSet('k', () => 1, { memory: false }); // from the node
  await cache.set('s', 1);
  await cache.delete('s');
  await cache.get('s'); // a miss
  const stats = cache.stats();
  expect(stats).toMatchObject({
    ...{ memoryHits: 2, nodeHits: 1, staleHits: 0, misses: 2, loads: 1, loadErrors: 0 },
    ...{ sets: 1, deletes: 1, unconfirmed: 0, unprotectedLoads: 0, epoch: 1, loadsWaiting: 0 },
    memory: { entries: 1, maxStaleMs: 1_000 },
    loadLatency: { count: 1 },
  });
  expect(JSON.parse(JSON.stringify(stats))).toEqual(stats);
  const all = Object.values(stats.nodes);
  expect(all.map(({ id }) => id)).toEqual(['node-1', 'node-2', 'node-3']);
  expect(all.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 6);
  expect(all.reduce((sum, { reads }) => sum + reads, 0)).toBe(3);
  for (const node of all)
    expect(node).toMatchObject({ state: 'up', breaker: 'closed', failures: 0 });
});

test('topology tells shares and states; weights count', async () => {
  const [a, b, c] = nodes.map(({ id, url }) => ({ id, url }));
  const cache = await caches.open({ nodes: [a!, b!, { ...c!, weight: 2 }] });
  const { topology } = cache;
  expect(topology).toMatchObject({ epoch: 1, state: 'stable' });
  expect(topology.fingerprint).toMatch(/^[0-9a-f]+$/);
  expect(topology.nodes.map(({ weight }) => weight)).toEqual([1, 1, 2]);
  expect(topology.nodes[2]!.share).toBeGreaterThan(0.4);
  expect(topology.nodes[2]!.share).toBeLessThan(0.6);
});

test('nothing that is printed of a cache shows a password or an address', async () => {
  await command(nodes[2]!, 'CONFIG', 'SET', 'requirepass', 'hidden-word');
  const seats = nodes.map(({ id, port }) => {
    return {
      id,
      url: id === 'node-3' ? `redis://:hidden-word@127.0.0.1:${port}` : `redis://127.0.0.1:${port}`,
    };
  });
  try {
    const cache = await caches.open({ nodes: seats });
    expect(cache.topology.nodes.map(({ state }) => state)).toEqual(['up', 'up', 'up']);
    const shown = [
      inspect(cache, { depth: 12, showHidden: true }),
      JSON.stringify(cache.topology),
      JSON.stringify(cache.stats()),
      await command(nodes[0]!, 'GET', `${caches.namespace}:t`),
    ];
    for (const text of shown) expect(text).not.toContain('hidden-word');
  } finally {
    await nodes[2]!.restart();
  }
});

describe('events', () => {
  test('of nodes come once for each change, and stop with off', async () => {
    const cache = await open({ breaker: { resetTimeout: 100 } });
    const downs = heard(cache, 'node:down');
    const ups = heard(cache, 'node:up');
    const once: unknown[] = [];
    cache.once('node:down', (said) => once.push(said));
    const off: unknown[] = [];
    const listener = (said: unknown) => off.push(said);
    cache.on('node:down', listener).off('node:down', listener);
    for (let round = 1; round <= 2; round += 1) {
      await nodes[0]!.kill();
      await eventually(() => downs.length === round);
      await nodes[0]!.restart();
      await eventually(() => ups.length === round);
    }
    expect(downs).toEqual([{ node: 'node-1' }, { node: 'node-1' }]);
    expect(ups).toEqual(downs);
    expect(once).toEqual([{ node: 'node-1' }]);
    expect(off).toEqual([]);
  });

  test('of a delete that is not confirmed, and then is', async () => {
    const cache = await open({ breaker: { resetTimeout: 100 } });
    const key = keyOn(cache, 'node-1');
    const said: string[] = [];
    cache.on('invalidation:unconfirmed', (it) => said.push(`unconfirmed ${it.key} ${it.node}`));
    cache.on('invalidation:confirmed', (it) => said.push(`confirmed ${it.key} ${it.node}`));
    await nodes[0]!.pause();
    expect(await cache.delete(key)).toBe(false);
    expect(cache.stats()).toMatchObject({ unconfirmed: 1 });
    await nodes[0]!.resume();
    await eventually(() => said.length === 2);
    expect(said).toEqual([`unconfirmed ${key} node-1`, `confirmed ${key} node-1`]);
    expect(cache.stats().nodes['node-1']?.unconfirmed).toBe(0);
  });

  test('of trouble that a person has to look at', async () => {
    await command(nodes[2]!, 'CONFIG', 'SET', 'requirepass', 'a-secret');
    try {
      const cache = await open();
      const troubles = heard(cache, 'node:trouble');
      await eventually(() => cache.topology.nodes[2]!.state === 'down');
      // It happened before anybody could listen; a reconnect of another kind says it again.
      expect(troubles.every(({ node }) => node === 'node-3')).toBe(true);
      expect(await cache.getOrSet(keyOn(cache, 'node-3'), () => 'loaded')).toBe('loaded');
    } finally {
      await nodes[2]!.restart();
    }
  });
});

/** P10: close() leaves no timer, socket or rejected promise behind. */
import { describe, expect, test } from 'vitest';
import { ClosedError, createCache, type RingCache } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { type App, useFork } from '../support/fork.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import type { CacheApp } from './cache-app.ts';
import { Held, keyOn, keysOn, timed, useCaches } from './caches.ts';

const nodes = useNodes(4);
const fork = useFork();
const caches = useCaches();
const three = () => nodes.slice(0, 3);

const OPERATIONS: Readonly<Record<string, (cache: RingCache) => Promise<unknown>>> = {
  get: (cache) => cache.get('k'),
  getMany: (cache) => cache.getMany(['k']),
  getOrSet: (cache) => cache.getOrSet('k', () => 1),
  getOrSetMany: (cache) => cache.getOrSetMany(['k'], () => [1]),
  set: (cache) => cache.set('k', 1),
  setMany: (cache) => cache.setMany([['k', 1]]),
  delete: (cache) => cache.delete('k'),
  deleteMany: (cache) => cache.deleteMany(['k']),
  explain: (cache) => cache.explain('k'),
  addNode: (cache) => cache.addNode(nodes[3]!),
  removeNode: (cache) => cache.removeNode('node-1'),
  'get of a namespace': (cache) => cache.namespace('users').get('k'),
};

test('afterwards every method rejects with ClosedError, and what asks nobody still answers', async () => {
  const cache = await caches.open({ nodes: three() });
  await cache.set('k', 1);
  await cache.close();
  for (const [name, operate] of Object.entries(OPERATIONS)) {
    const failure = await operate(cache).catch((error: unknown) => error);
    expect(failure, name).toBeInstanceOf(ClosedError);
    expect(failure, name).toMatchObject({ code: 'RINGCACHE_CLOSED' });
  }
  expect(cache.peek('k')).toBeUndefined();
  expect(cache.ownerOf('k')).toMatch(/^node-/);
  expect(cache.topology.nodes).toHaveLength(3);
  expect(cache.stats().sets).toBe(1);
});

test('closing twice, at once or later, is closing once', async () => {
  const cache = await caches.open({ nodes: three() });
  await Promise.all([cache.close(), cache.close(), cache[Symbol.asyncDispose]()]);
  await cache.close();
});

test('await using closes at the end of the block', async () => {
  let inside: RingCache;
  {
    await using cache = await createCache({ nodes: three(), namespace: caches.namespace });
    await cache.set('k', 1);
    inside = cache;
  }
  await expect(inside.get('k')).rejects.toThrow(ClosedError);
});

test('callers who wait for a load are rejected at once, whatever the loader does', async () => {
  const cache = await caches.open({ nodes: three() });
  const load = new Held<string>();
  const callers = [
    cache.getOrSet('k', load.loader),
    cache.getOrSet('k', load.loader, { signal: new AbortController().signal }),
    cache.getOrSetMany<string>(['a', 'b', 'k'], () => new Promise(() => undefined)),
  ];
  const outcomes = Promise.allSettled(callers);
  await load.begun;
  const { ms } = await timed(() => cache.close());
  for (const outcome of await outcomes) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'RINGCACHE_CLOSED' } });
  }
  expect(ms).toBeLessThan(500);
  load.finish('late');
});

test('so are those whose load a set or delete has overtaken', async () => {
  const cache = await caches.open({ nodes: three() });
  const load = new Held<string>();
  let aborted: AbortSignal | undefined;
  const caller = cache.getOrSet('k', ({ signal }) => {
    aborted = signal;
    return load.loader();
  });
  await load.begun;
  const rejected = expect(caller).rejects.toThrow(ClosedError);
  await cache.delete('k');
  await cache.close();
  await rejected;
  expect(aborted?.aborted).toBe(true);
});

test('those who wait for another process are rejected, and its load is none of our business', async () => {
  const app = await caches.openIn(fork, { nodes: three() });
  await app.call('beginLoad', 'k');
  const cache = await caches.open({ nodes: three() });
  const rejected = expect(cache.getOrSet('k', () => 'mine')).rejects.toThrow(ClosedError);
  await eventually(async () => (await cache.explain('k')).leased);
  await cache.close();
  await rejected;
  expect(await app.call('finishLoad', 'k', 'theirs')).toBe('theirs');
});

describe('a process ends by itself within a second, with exit code 0', () => {
  async function expectEnd(app: App<CacheApp>, work: 'close' | 'dispose' | 'none' = 'close') {
    expect(await app.call('rejections')).toEqual([]);
    const { ms, value } = await timed(async () => {
      await app.call('leave', work);
      return app.exited;
    });
    expect(app.output).toBe('');
    expect(value).toBe(0);
    expect(ms).toBeLessThan(1_000);
  }

  test('when it has closed an idle cache', async () => {
    const app = await caches.openIn(fork, { nodes: three() });
    await app.call('set', 'k', 1);
    await expectEnd(app);
  });

  test('when it has disposed of a cache that loads', async () => {
    const app = await caches.openIn(fork, { nodes: three() });
    await app.call('beginLoad', 'k');
    await expectEnd(app, 'dispose');
  });

  test('when callers wait for the load of another', async () => {
    const other = await caches.openIn(fork, { nodes: three() });
    await other.call('beginLoad', 'k');
    const app = await caches.openIn(fork, { nodes: three() });
    const waiting = expect(app.call('getOrSet', 'k', 1)).rejects.toThrow('closed');
    await eventually(async () => (await app.call('stats')).nodes['node-1'] !== undefined);
    await expectEnd(app);
    await waiting.catch(() => undefined);
  });

  test.each(['killed', 'hanging', 'silent'])('when a node is %s', async (how) => {
    await using proxy = await FaultProxy.start(nodes[0]!.port);
    const seat = { id: 'node-1', url: proxy.url };
    const app = await caches.openIn(fork, { nodes: [seat, nodes[1]!, nodes[2]!] });
    await Promise.all(Array.from({ length: 30 }, (_, i) => app.call('set', `k${i}`, 1)));
    if (how === 'killed') await proxy.refuse();
    if (how === 'hanging') await nodes[0]!.pause();
    if (how === 'silent') proxy.set({ kind: 'blackhole' });
    await Promise.all(Array.from({ length: 30 }, (_, i) => app.call('delete', `k${i}`)));
    await expectEnd(app);
  });

  test('when all nodes have been away from the start', async () => {
    const dead = [1, 2, 3].map((port) => ({
      id: `dead-${port}`,
      url: `redis://127.0.0.1:${port}`,
    }));
    const app = await caches.openIn(fork, { nodes: dead });
    expect(await app.call('getOrSet', 'k', 'loaded')).toBe('loaded');
    await expectEnd(app);
  });

  test('in the middle of a ring change', async () => {
    const app = await caches.openIn(fork, { nodes: three() });
    await Promise.all(Array.from({ length: 300 }, (_, i) => app.call('set', `k${i}`, 1)));
    const { id, url } = nodes[3]!;
    expect(await app.call('addNode', { id, url }, 1)).toBe(2);
    await expectEnd(app);
  });
});

// Nobody else goes on with it: left open, it would block every later change.
test('a change that close() interrupts is completed without copying the rest', async () => {
  const cache = await caches.open({ nodes: three() });
  await cache.setMany(Array.from({ length: 1_000 }, (_, i) => [`k${i}`, i]));
  const change = await cache.addNode(nodes[3]!, { keysPerSecond: 1 });
  const { ms } = await timed(() => cache.close());
  expect(ms).toBeLessThan(500);
  expect(await change.done).toMatchObject({ epoch: 3 });
  const next = await caches.open({ nodes: three() });
  expect(next.topology).toMatchObject({ epoch: 3, state: 'stable' });
  expect(next.topology.nodes).toHaveLength(4);
});

test('fifty caches, one after the other, leave no connection, no listener and no warning', async () => {
  const warnings: Error[] = [];
  const note = (warning: Error) => warnings.push(warning);
  process.on('warning', note);
  const listeners = () => process.eventNames().map((name) => process.listenerCount(name));
  const before = listeners();
  for (let i = 0; i < 50; i += 1) {
    await using cache = await createCache({ nodes: three(), namespace: caches.namespace });
    await cache.set(`k${i}`, i);
  }
  expect(listeners()).toEqual(before);
  for (const node of three()) {
    await eventually(async () => {
      const clients = await command(node, 'INFO', 'clients');
      return /connected_clients:1\r/.test(clients);
    });
  }
  process.off('warning', note);
  expect(warnings).toEqual([]);
});

test('what is set and deleted while it closes settles', async () => {
  const cache = await caches.open({ nodes: three() });
  const keys = keysOn(cache, 'node-1', { count: 20 });
  const work = [
    ...keys.map((key) => cache.set(key, 1)),
    ...keys.map((key) => cache.delete(key)),
    cache.get(keyOn(cache, 'node-2')),
    cache.getMany(keys),
  ];
  await cache.close();
  for (const one of await Promise.allSettled(work)) expect(one.status).toBe('fulfilled');
});

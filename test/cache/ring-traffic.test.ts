/** P7, P3: what is read and written while the ring changes. */
import { describe, expect, test } from 'vitest';
import type { ChangeOptions, RingCache, TopologyChange } from '../../src/index.ts';
import type { LocalNode } from '../../src/local.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { heard, keysOn, useCaches } from './caches.ts';
import { VersionedTraffic } from './versions.ts';

const nodes = useNodes(4);
const fork = useFork();
const caches = useCaches();

const KEYS = Array.from({ length: 2_000 }, (_, i) => `user:${i}`);
const IDS = ['node-1', 'node-2', 'node-3'];

/** A budget that a busy machine does not exceed: what is lost here is lost to the change. */
const PATIENT = { memory: false as const, node: { timeout: '3s' } };

const open = (options: object = {}) => {
  return caches.open({ nodes: nodes.slice(0, 3), ...PATIENT, ...options });
};

test('a node joins and leaves under the traffic of two processes: no load, no error, no stale epoch', async () => {
  const cache = await open();
  await cache.setMany(KEYS.map((key) => [key, `value of ${key}`]));
  const app = await caches.openIn(fork, { nodes: nodes.slice(0, 3), ...PATIENT });
  await app.call('startTraffic', KEYS);
  const own = readContinuously(cache);
  const joined = await cache.addNode(nodes[3]!, { keysPerSecond: 1_000 });
  expect(await joined.done).toMatchObject({ failed: 0 });
  const left = await cache.removeNode('node-1', { keysPerSecond: 1_000 });
  expect(await left.done).toMatchObject({ failed: 0 });
  await eventually(async () => (await app.call('topology')).epoch === 5);
  const seen = await app.call('stopTraffic');
  expect(seen).toMatchObject({ loads: 0, errors: [], wrong: 0 });
  expect(seen.reads).toBeGreaterThan(500);
  expect(await own.stop()).toMatchObject({ loads: 0 });
  const events = await app.call('events');
  const adopted = events.filter(({ name }) => name === 'topology:adopted');
  expect(adopted.map(({ said }) => (said as { epoch: number }).epoch)).toContain(5);
  expect(await app.call('rejections')).toEqual([]);
});

function readContinuously(cache: RingCache) {
  const control = new AbortController();
  let loads = 0;
  let reads = 0;
  const loop = (async () => {
    while (!control.signal.aborted) {
      const keys = Array.from({ length: 20 }, (_, i) => KEYS[(reads + i * 97) % KEYS.length]!);
      const load = () => {
        loads += 1;
        return 'loaded';
      };
      await Promise.all(keys.map((key) => cache.getOrSet(key, load)));
      reads += keys.length;
    }
  })();
  loop.catch(() => undefined); // told by stop()
  return {
    async stop() {
      control.abort();
      await loop;
      return { loads, reads };
    },
  };
}

describe('with readers and writers in two caches', () => {
  test.each([1, 2, 3])(
    'nothing that was replaced or removed is read again, through two changes (seed %i)',
    async (seed) => {
      const [first, second] = [await open(), await open()];
      const keys = KEYS.slice(0, 300);
      const both = [first, second];
      const traffic = new VersionedTraffic({ seed, keys, readers: both, writers: both });
      await eventually(() => traffic.tally.reads > 500);
      await (await first.addNode(nodes[3]!, { keysPerSecond: 500 })).done;
      await eventually(() => second.topology.epoch === 3);
      await (await second.removeNode('node-2', { keysPerSecond: 500 })).done;
      await eventually(() => first.topology.epoch === 5);
      const tally = await traffic.stop();
      process.stdout.write(`versions, seed ${seed}: ${JSON.stringify({ ...tally })}\n`);
      expect(tally.violations).toEqual([]);
      expect(tally.errors).toEqual([]);
      expect(tally.unconfirmed).toBe(0);
    },
  );

  test('a node that leaves and comes back, warm and cold, shows nothing of before', async () => {
    const [first, second] = [await open(), await open()];
    const keys = KEYS.slice(0, 200);
    const both = [first, second];
    const traffic = new VersionedTraffic({ seed: 4, keys, readers: both, writers: both });
    for (const warm of [true, false]) {
      await eventually(() => traffic.tally.reads > 300);
      await (await first.removeNode('node-3', { warm })).done;
      await eventually(() => second.topology.epoch === first.topology.epoch);
      await (await first.addNode(nodes[2]!, { warm })).done;
      await eventually(() => second.topology.epoch === first.topology.epoch);
    }
    const tally = await traffic.stop();
    process.stdout.write(`flap, seed 4: ${JSON.stringify({ ...tally })}\n`);
    expect(tally).toMatchObject({ violations: [], errors: [], unconfirmed: 0 });
  });

  test('memory of the process that writes shows its own writes at once, through a change', async () => {
    const [writer, reader] = [await open({ memory: {} }), await open()];
    const keys = KEYS.slice(0, 100);
    const readers = [writer, writer, reader];
    const traffic = new VersionedTraffic({ seed: 5, keys, readers, writers: [writer] });
    await eventually(() => traffic.tally.reads > 300);
    await (await reader.addNode(nodes[3]!, { keysPerSecond: 200 })).done;
    await eventually(() => writer.topology.epoch === 3);
    const tally = await traffic.stop();
    expect(tally).toMatchObject({ violations: [], errors: [], unconfirmed: 0 });
  });
});

describe('a previous owner that hangs during the change', () => {
  /** A change that has just begun to copy, and a key that has still to move from node-1. */
  async function joint(control: AbortController): Promise<{ cache: RingCache; key: string }> {
    const cache = await open({ node: { timeout: 60 }, breaker: { resetTimeout: 100 } });
    await cache.setMany(KEYS.map((key) => [key, 'old']));
    const before = new Set(keysOn(cache, 'node-1', { count: 400, prefix: 'user:' }));
    await begun((options) => cache.addNode(nodes[3]!, { ...options, signal: control.signal }));
    const keys = keysOn(cache, 'node-4', { count: 300, prefix: 'user:' });
    const moving = keys.filter((one) => before.has(one));
    return { cache, key: await firstAbsent(nodes[3]!, moving) };
  }

  test.each(['delete', 'set'] as const)(
    'a %s resolves false, and what it replaced is not read again',
    async (how) => {
      const control = new AbortController();
      const { cache, key } = await joint(control);
      const confirmed = heard(cache, 'invalidation:confirmed');
      await nodes[0]!.pause();
      expect(await (how === 'delete' ? cache.delete(key) : cache.set(key, 'new'))).toBe(false);
      expect(await cache.get(key)).toBeUndefined();
      expect(await cache.getOrSet(key, () => 'loaded')).toBe('loaded');
      // Not stored: what is loaded now may be older than what the source has still to learn.
      expect((await cache.explain(key)).atNode).toBe('absent');
      await nodes[0]!.resume();
      await eventually(() => confirmed.length > 0);
      expect(await cache.get(key)).toBeUndefined();
      expect(await cache.getOrSet(key, () => 'again')).toBe('again');
      control.abort();
      await eventually(() => cache.topology.state === 'stable');
      expect(cache.topology.nodes.map(({ id }) => id)).toEqual([...IDS, 'node-4']);
      // The delete that was made up for may have come after it, once.
      await cache.getOrSet(key, () => 'again');
      expect(await cache.get(key)).toBe('again');
    },
  );
});

// Goal: whoever reads between the two steps of a delete finds nothing to copy.
// Method: the answer of the owner is held, so that the delete is at its owner
// and does not go on; the other cache reads then.
test('a delete goes to the previous owner first: a read in the middle of it copies nothing back', async () => {
  await using proxy = await FaultProxy.start(nodes[0]!.port);
  const reader = await open();
  const seats = [{ id: 'node-1', url: proxy.url }, nodes[1]!, nodes[2]!];
  const deleter = await caches.open({ ...PATIENT, nodes: seats });
  await reader.setMany(KEYS.map((key) => [key, 'old']));
  const leaving = new Set(keysOn(reader, 'node-3', { count: 500, prefix: 'user:' }));
  const control = new AbortController();
  const { signal } = control;
  const change = await begun((options) => reader.removeNode('node-3', { ...options, signal }));
  const keys = keysOn(reader, 'node-1', { count: 700, prefix: 'user:' });
  const moving = keys.filter((one) => leaving.has(one));
  const key = await firstAbsent(nodes[0]!, moving);
  expect(await deleter.get(key)).toBe('old');
  expect(deleter.topology).toMatchObject({ epoch: 2, state: 'joint' });
  proxy.set({ kind: 'hold' });
  const deleted = deleter.delete(key);
  await eventually(() => deleter.stats().nodes['node-1']!.inFlight > 0);
  expect(await reader.getOrSet(key, () => 'loaded')).toBe('loaded');
  proxy.set({ kind: 'none' });
  expect(await deleted).toBe(true);
  expect(await reader.get(key)).toBe('loaded');
  control.abort();
  await change.done;
  await deleter.close();
});

/** A change of which the first keys have been copied, and whose next ones are far away. */
async function begun(
  change: (options: ChangeOptions) => Promise<TopologyChange>,
): Promise<TopologyChange> {
  const copied = Promise.withResolvers<void>();
  const running = await change({
    keysPerSecond: 1,
    onProgress: (progress) => {
      if (progress.copied > 0) copied.resolve();
    },
  });
  await copied.promise;
  return running;
}

/** The first of `keys` that `node` does not have yet. */
async function firstAbsent(node: LocalNode, keys: string[]): Promise<string> {
  for (const key of keys) {
    const there = await command(node, 'EXISTS', `${caches.namespace}:v:${key}`);
    if (there === ':0\r\n') return key;
  }
  throw new Error('every key has been copied already');
}

test('a set during the change replaces the value at the previous owner, too', async () => {
  const control = new AbortController();
  const cache = await open();
  await cache.setMany(KEYS.map((key) => [key, 'old']));
  const before = new Set(keysOn(cache, 'node-1', { count: 400, prefix: 'user:' }));
  await cache.addNode(nodes[3]!, { keysPerSecond: 1, signal: control.signal });
  const key = keysOn(cache, 'node-4', { count: 300, prefix: 'user:' }).find((one) =>
    before.has(one),
  )!;
  expect(await cache.explain(key)).toMatchObject({ previousOwner: 'node-1', owner: 'node-4' });
  expect(await cache.set(key, 'new')).toBe(true);
  expect(await command(nodes[0]!, 'GET', `${caches.namespace}:v:${key}`)).toContain('new');
  await nodes[3]!.restart();
  await eventually(() => cache.topology.nodes.every(({ state }) => state === 'up'));
  expect(await cache.get(key)).toBe('new');
  control.abort();
  await eventually(() => cache.topology.state === 'stable');
});

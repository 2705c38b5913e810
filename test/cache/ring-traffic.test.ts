/** P7, P3: what is read and written while the ring changes. */
import { describe, expect, test } from 'vitest';
import type { RingCache } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { command, useNodes } from '../support/nodes.ts';
import { heard, keysOn, useCaches } from './caches.ts';
import { VersionedTraffic } from './versions.ts';

const nodes = useNodes(4);
const fork = useFork();
const caches = useCaches();

const KEYS = Array.from({ length: 2_000 }, (_, i) => `user:${i}`);
const IDS = ['node-1', 'node-2', 'node-3'];

const open = (options: object = {}) => {
  return caches.open({ nodes: nodes.slice(0, 3), memory: false, ...options });
};

test('a node joins and leaves under the traffic of two processes: no load, no error, no stale epoch', async () => {
  const cache = await open();
  await cache.setMany(KEYS.map((key) => [key, `value of ${key}`]));
  const app = await caches.openIn(fork, { nodes: nodes.slice(0, 3), memory: false });
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
    await cache.addNode(nodes[3]!, { keysPerSecond: 1, signal: control.signal });
    for (const key of keysOn(cache, 'node-4', { count: 300, prefix: 'user:' })) {
      const there = await command(nodes[3]!, 'EXISTS', `${caches.namespace}:v:${key}`);
      if (before.has(key) && there === ':0\r\n') return { cache, key };
    }
    throw new Error('every key has been copied already');
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
      expect(await cache.get(key)).toBe('again');
    },
  );
});

test('a set during the change removes the value at the previous owner, too', async () => {
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
  expect(await command(nodes[0]!, 'EXISTS', `${caches.namespace}:v:${key}`)).toBe(':0\r\n');
  await nodes[3]!.restart();
  await eventually(() => cache.topology.nodes.every(({ state }) => state === 'up'));
  expect(await cache.get(key)).toBeUndefined();
  control.abort();
  await eventually(() => cache.topology.state === 'stable');
});

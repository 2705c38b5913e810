/**
 * A partial partition: one process cannot reach a node, others can.
 *
 * Goal: what the one deletes is removed by the others at once, and it is told.
 * Method: it reaches node-1 through a proxy of its own; memory is off, so that
 * what is read is what stands at the nodes.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CacheOptions, RingCache } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { heard, keyOn, keysOn, movingKeys, timed, useCaches } from './caches.ts';

const nodes = useNodes(4);
const fork = useFork();
const caches = useCaches();
let way: FaultProxy;

beforeEach(async () => {
  way = await FaultProxy.start(nodes[0]!.port);
});
afterEach(() => way.close());

const COMMON = { memory: false, breaker: { resetTimeout: 100 } } as const;
/** Far more than it takes, so that a busy machine does not decide. */
const PATIENT: CacheOptions['node'] = { timeout: 500 };

const cutOff = (more: Partial<CacheOptions> = {}): CacheOptions => ({
  nodes: [{ id: 'node-1', url: way.url }, ...nodes.slice(1, 3)],
  ...COMMON,
  ...more,
});
const connected = (): CacheOptions => ({ nodes: nodes.slice(0, 3), ...COMMON });

const withBreaker = (): CacheOptions =>
  cutOff({ node: PATIENT, breaker: { resetTimeout: 60_000 } });

async function untilItOpens(cache: RingCache, key: string): Promise<void> {
  way.set({ kind: 'blackhole' });
  await eventually(async () => {
    await cache.get(key);
    return cache.topology.nodes[0]?.state === 'down';
  });
}

const valueAt = (key: string, node = nodes[0]!): Promise<string> =>
  command(node, 'EXISTS', `${caches.namespace}:v:${key}`);

async function nothingNoted(): Promise<void> {
  const lists = [nodes[1]!, nodes[2]!].map((node) =>
    eventually(async () => {
      expect(await command(node, 'EXISTS', `${caches.namespace}:m:node-1`)).toBe(':0\r\n');
    }),
  );
  await Promise.all(lists);
}

async function noted(): Promise<number> {
  return Number((await command(nodes[1]!, 'HLEN', `${caches.namespace}:m:node-1`)).slice(1));
}

async function stored(cache: RingCache): Promise<string> {
  const key = keyOn(cache, 'node-1');
  expect(await cache.set(key, 'old')).toBe(true);
  return key;
}

describe('a delete by a process that cannot reach the node', () => {
  test('is done by another that can, true within the time of a delete, and noted no more', async () => {
    const [cache, other] = [
      await caches.open(cutOff({ node: PATIENT })),
      await caches.open(connected()),
    ];
    const unconfirmed = heard(cache, 'invalidation:unconfirmed');
    const key = await stored(cache);
    way.set({ kind: 'blackhole' });
    const { value, ms } = await timed(() => cache.delete(key));
    expect(value).toBe(true);
    expect(ms).toBeLessThan(3 * 500);
    expect(await valueAt(key)).toBe(':0\r\n');
    expect(await other.get(key)).toBeUndefined();
    expect(unconfirmed).toEqual([]);
    expect(cache.stats().nodes['node-1']?.unconfirmed).toBe(0);
    await nothingNoted();
  });

  test('is true in less than a second, in a process of its own', async () => {
    const app = await caches.openIn(fork, cutOff({ node: { timeout: 300 } }));
    const other = await caches.open(connected());
    const key = await stored(other);
    way.set({ kind: 'blackhole' });
    const { value, ms } = await timed(() => app.call('delete', key));
    expect(value).toBe(true);
    expect(ms).toBeLessThan(1_000);
    expect(await other.get(key)).toBeUndefined();
  });

  test('is true while its breaker is open, too', async () => {
    const cache = await caches.open(withBreaker());
    await caches.open(connected());
    const keys = keysOn(cache, 'node-1', { count: 5 });
    await cache.setMany(keys.map((key) => [key, 'old']));
    await untilItOpens(cache, keys[0]!);
    for (const key of keys) {
      expect(await cache.delete(key)).toBe(true);
      expect(await valueAt(key)).toBe(':0\r\n');
    }
  });

  test('is true for all of many, which cost the others a few scripts', async () => {
    const cache = await caches.open(withBreaker());
    const others = [await caches.open(connected()), await caches.open(connected())];
    const keys = keysOn(cache, 'node-1', { count: 1_000 });
    await others[0]!.setMany(keys.map((key) => [key, 'old']));
    // Else some of so many would still wait to be tried when their time is over.
    await untilItOpens(cache, keys[0]!);
    const scripts = async (): Promise<number> => {
      const said = await command(nodes[1]!, 'INFO', 'commandstats');
      return Number(/cmdstat_evalsha:calls=(\d+)/.exec(said)?.[1]);
    };
    const before = await scripts();
    expect(new Set(await cache.deleteMany(keys))).toEqual(new Set([true]));
    expect(new Set(await others[0]!.getMany(keys))).toEqual(new Set([undefined]));
    await nothingNoted();
    expect((await scripts()) - before).toBeLessThan(100);
  });

  test('is false, in the same time, when nobody reaches it', async () => {
    const [cache] = [await caches.open(cutOff()), await caches.open(connected())];
    const key = await stored(cache);
    await nodes[0]!.pause();
    try {
      const { value, ms } = await timed(() => cache.delete(key));
      expect(value).toBe(false);
      expect(ms).toBeLessThan(1_000);
      expect(await noted()).toBe(1);
    } finally {
      await nodes[0]!.resume();
    }
    await nothingNoted();
    expect(await valueAt(key)).toBe(':0\r\n');
  });
});

test('a set by such a process is false, and the older value is gone', async () => {
  const [cache, other] = [
    await caches.open(cutOff({ node: PATIENT })),
    await caches.open(connected()),
  ];
  const unconfirmed = heard(cache, 'invalidation:unconfirmed');
  const key = await stored(cache);
  way.set({ kind: 'blackhole' });
  expect(await cache.set(key, 'new')).toBe(false);
  expect(await other.get(key)).toBeUndefined();
  expect(unconfirmed).toEqual([]);
});

test('while the ring changes: at the previous owner by another, then at the present one', async () => {
  const ids = ['node-1', 'node-2', 'node-3'];
  const change = { before: ids, after: [...ids, 'node-4'], from: 'node-1', to: 'node-4' };
  const [key = ''] = await movingKeys(change);
  const [cache, other] = [
    await caches.open(cutOff({ node: PATIENT })),
    await caches.open(connected()),
  ];
  await other.set(key, 'old');
  await other.addNode(nodes[3]!, { keysPerSecond: 1 });
  await eventually(() => cache.topology.state === 'joint');
  // It has been copied.
  expect(await other.getOrSet(key, () => 'never')).toBe('old');
  way.set({ kind: 'blackhole' });
  expect(await cache.delete(key)).toBe(true);
  expect([await valueAt(key), await valueAt(key, nodes[3]!)]).toEqual([':0\r\n', ':0\r\n']);
  expect(await other.getOrSet(key, () => 'new')).toBe('new');
});

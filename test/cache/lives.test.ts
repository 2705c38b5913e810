/** `expire`, `touch` and `getWithInfo`: how long a value lives, and what is known of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { InvalidKeyError, InvalidOptionError, type RingCache } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { Held, heard, keyOn, movingKeys, useCaches } from './caches.ts';

const nodes = useNodes(4);
const caches = useCaches();
const fork = useFork();

const open = (options: object = {}): Promise<RingCache> =>
  caches.open({ nodes: nodes.slice(0, 3), ttl: '1h', staleTtl: '1h', ...options });

/** Of everything but the age, which depends on how fast this machine is. */
async function infoOf(cache: RingCache, key = 'k') {
  const { age, ...info } = (await cache.getWithInfo(key)) ?? { age: 0 };
  expect(age).toBeGreaterThanOrEqual(0);
  expect(age).toBeLessThan(60_000);
  return info;
}

describe('getWithInfo', () => {
  test('knows nothing of what is not there', async () => {
    const cache = await open();
    expect(await cache.getWithInfo('k')).toBeUndefined();
    expect(cache.stats()).toMatchObject({ misses: 1, staleHits: 0 });
  });

  test('says how old a value is and how long it is fresh, from the node and then from memory', async () => {
    const writer = await open();
    await writer.set('k', { n: 1 }, { ttl: '10m' });
    const cache = await open();
    await sleep(30);
    const first = await cache.getWithInfo('k');
    expect(first).toMatchObject({ value: { n: 1 }, tier: 'node', stale: false });
    expect(first?.age).toBeGreaterThanOrEqual(25);
    expect(first?.ttlLeft).toBeLessThanOrEqual(600_000 - 25);
    await sleep(30);
    const second = await cache.getWithInfo('k');
    expect(second).toMatchObject({ value: { n: 1 }, tier: 'memory', stale: false });
    // lru-cache looks at its clock once a millisecond.
    expect(second?.age).toBeGreaterThanOrEqual((first?.age ?? 0) + 25);
    expect(second?.ttlLeft).toBeLessThanOrEqual((first?.ttlLeft ?? 0) - 25);
    expect(second?.ttlLeft).toBeGreaterThan(500_000);
  });

  test('has a value past its ttl, which get has not', async () => {
    const cache = await open();
    await cache.set('k', 'old', { ttl: 10 });
    await sleep(60);
    expect(await cache.get('k')).toBeUndefined();
    expect(await infoOf(cache)).toEqual({ value: 'old', ttlLeft: 0, tier: 'node', stale: true });
    expect(cache.peek('k')).toBeUndefined();
    expect(cache.stats()).toMatchObject({ staleHits: 1, misses: 1 });
  });

  test('finds a value at either owner while the ring changes, fresh or stale, as old as it is', async () => {
    const cache = await open({ memory: false });
    const [fresh = '', stale = '', copied = ''] = await moving(3);
    await cache.setMany([fresh, copied].map((key) => [key, 'value']));
    await cache.set(stale, 'old', { ttl: 10 });
    await sleep(60);
    await cache.addNode(nodes[3]!, { keysPerSecond: 1 });
    expect(await infoOf(cache, fresh)).toMatchObject({ value: 'value', stale: false });
    expect(await infoOf(cache, stale)).toMatchObject({ value: 'old', stale: true, ttlLeft: 0 });
    await cache.getOrSet(copied, () => 'never');
    const info = await cache.getWithInfo(copied);
    expect(info?.value).toBe('value');
    expect(info?.age).toBeGreaterThanOrEqual(55);
  });

  test('is undefined when the node cannot be asked', async () => {
    const cache = await open({ memory: false });
    const key = keyOn(cache, 'node-1');
    await cache.set(key, 1);
    await nodes[0]!.kill();
    expect(await cache.getWithInfo(key)).toBeUndefined();
  });
});

/** Keys that a fourth node takes from the first. */
function moving(count: number): Promise<string[]> {
  const before = ['node-1', 'node-2', 'node-3'];
  return movingKeys({ before, after: [...before, 'node-4'], from: 'node-1', to: 'node-4' }, count);
}

describe('expire', () => {
  test('makes a value stale for all: get has nothing, getOrSet serves it and reloads it', async () => {
    const cache = await open();
    const other = await open({ memory: false });
    await cache.set('k', 'old');
    expect(await cache.expire('k')).toBe(true);
    for (const one of [cache, other]) {
      expect(await one.get('k')).toBeUndefined();
      expect(await infoOf(one)).toMatchObject({ value: 'old', stale: true, tier: 'node' });
    }
    expect(await cache.getOrSet('k', () => 'new')).toBe('old');
    await eventually(async () => expect(await other.get('k')).toBe('new'));
    expect(cache.stats().expires).toBe(1);
  });

  test('is a delete where nothing is kept, and of what is not there', async () => {
    const cache = await open();
    await cache.set('k', 'old', { staleTtl: 0 });
    expect(await cache.expire('k')).toBe(true);
    expect(await cache.getWithInfo('k')).toBeUndefined();
    expect(await cache.expire('k')).toBe(true);
  });

  test('wins over a load that runs, in another process too, and nobody joins that load', async () => {
    const cache = await open({ memory: false });
    const app = await caches.openIn(fork, { nodes: nodes.slice(0, 3), memory: false });
    await app.call('beginLoad', 'k');
    expect(await cache.expire('k')).toBe(true);
    expect(await app.call('finishLoad', 'k', 'loaded')).toBe('loaded');
    expect(await cache.getWithInfo('k')).toBeUndefined();
    const load = new Held<string>();
    const first = cache.getOrSet('k', load.loader);
    await load.begun;
    await cache.expire('k');
    expect(await cache.getOrSet('k', () => 'second')).toBe('second');
    load.finish('first');
    expect(await first).toBe('first');
    expect(await cache.get('k')).toBe('second');
  });

  test("leaves another process's memory within maxStale", async () => {
    const cache = await open();
    const app = await caches.openIn(fork, {
      nodes: nodes.slice(0, 3),
      staleTtl: '1h',
      memory: { maxStale: 200 },
    });
    await cache.set('k', 'old');
    expect(await app.call('get', 'k')).toBe('old');
    await cache.expire('k');
    await eventually(async () => expect(await app.call('get', 'k')).toBeUndefined());
  });

  test('reaches the previous owner first while the ring changes, and what is copied later is stale', async () => {
    const cache = await open({ memory: false });
    const [key = '', copied = ''] = await moving(2);
    await cache.setMany([key, copied].map((one) => [one, 'old']));
    const change = await cache.addNode(nodes[3]!, { keysPerSecond: 100 });
    await cache.getOrSet(copied, () => 'never');
    for (const one of [key, copied]) expect(await cache.expire(one)).toBe(true);
    for (const one of [key, copied]) expect(await cache.get(one)).toBeUndefined();
    await change.done;
    for (const one of [key, copied]) {
      expect(await cache.get(one)).toBeUndefined();
      // A copy that was being made at that moment is not stored, stale or fresh.
      const info = await cache.getWithInfo(one);
      if (info !== undefined) expect(info).toMatchObject({ value: 'old', stale: true });
    }
  });

  test('that a node does not confirm is false, and the value is removed when the node is back', async () => {
    const proxy = await FaultProxy.start(nodes[0]!.port);
    try {
      const seats = [{ id: 'node-1', url: proxy.url }, ...nodes.slice(1, 3)];
      const cache = await open({ nodes: seats, memory: false, breaker: { resetTimeout: 100 } });
      const other = await open({ nodes: seats, memory: false, breaker: { resetTimeout: 100 } });
      const confirmed = heard(cache, 'invalidation:confirmed');
      const key = keyOn(cache, 'node-1');
      await cache.set(key, 'old');
      await proxy.refuse();
      expect(await cache.expire(key)).toBe(false);
      expect(cache.stats().unconfirmed).toBe(1);
      await proxy.accept();
      await eventually(() => expect(confirmed).toEqual([{ key, node: 'node-1' }]));
      expect(await cache.getWithInfo(key)).toBeUndefined();
      await eventually(() => other.topology.nodes[0]?.state === 'up');
      expect(await other.getWithInfo(key)).toBeUndefined();
    } finally {
      await proxy.close();
    }
  });
});

describe('touch', () => {
  test('gives a value a new life, here and for others, with a number, a text, options or the defaults', async () => {
    const cache = await open();
    const other = await open({ memory: false });
    for (const [life, ttlMs] of [
      [90_000, 90_000],
      ['2m', 120_000],
      [{ ttl: '3m', staleTtl: 0 }, 180_000],
      [{ staleTtl: 0 }, 3_600_000],
      [undefined, 3_600_000],
    ] as const) {
      await cache.set('k', 'value', { ttl: '10s' });
      await cache.get('k');
      expect(await cache.touch('k', life)).toBe(true);
      for (const one of [cache, other]) {
        const info = await one.getWithInfo('k');
        expect(info).toMatchObject({ value: 'value', stale: false, tier: 'node' });
        expect(info?.ttlLeft).toBeGreaterThan(ttlMs - 5_000);
        expect(info?.ttlLeft).toBeLessThanOrEqual(ttlMs + 50);
      }
    }
    expect(cache.stats().touches).toBe(5);
  });

  test('brings a stale value back, and one that was expired', async () => {
    const cache = await open();
    await cache.set('stale', 1, { ttl: 10 });
    await cache.set('expired', 2);
    await sleep(60);
    await cache.expire('expired');
    expect(await cache.getMany(['stale', 'expired'])).toEqual([undefined, undefined]);
    expect(await cache.touch('stale')).toBe(true);
    expect(await cache.touch('expired')).toBe(true);
    expect(await cache.getMany(['stale', 'expired'])).toEqual([1, 2]);
  });

  test('is false for what is not there, and brings nothing back that was deleted', async () => {
    const cache = await open();
    expect(await cache.touch('k')).toBe(false);
    await cache.set('k', 1);
    await cache.delete('k');
    expect(await cache.touch('k')).toBe(false);
    expect(await cache.getWithInfo('k')).toBeUndefined();
  });

  test('is false when the node does not answer', async () => {
    const cache = await open();
    const key = keyOn(cache, 'node-1');
    await cache.set(key, 1);
    await nodes[0]!.kill();
    expect(await cache.touch(key)).toBe(false);
    expect(cache.stats().unconfirmed).toBe(0);
  });

  test('finds the value at either owner while the ring changes', async () => {
    const cache = await open({ memory: false, ttl: '10s' });
    const [key = '', copied = '', gone = ''] = await moving(3);
    await cache.setMany([key, copied].map((one) => [one, 'value']));
    const change = await cache.addNode(nodes[3]!, { keysPerSecond: 100 });
    await cache.getOrSet(copied, () => 'never');
    expect(await cache.touch(key, '1h')).toBe(true);
    expect(await cache.touch(copied, '1h')).toBe(true);
    expect(await cache.touch(gone, '1h')).toBe(false);
    await change.done;
    // Its new life is another matter when it was being copied at that very moment.
    for (const one of [key, copied]) expect(await cache.get(one)).toBe('value');
  });
});

test('a namespace does the same with its own keys', async () => {
  const cache = await open();
  const users = cache.namespace('users');
  await users.set('k', 1);
  expect(await users.touch('k', '2h')).toBe(true);
  expect((await users.getWithInfo('k'))?.ttlLeft).toBeGreaterThan(3_700_000);
  expect(await users.expire('k')).toBe(true);
  expect(await cache.getWithInfo('users:k')).toMatchObject({ value: 1, stale: true });
});

describe('bad input is refused before anything is sent', () => {
  test.each([['', 5, null, '\ud800']].flat())('the key %o', async (key) => {
    const cache = await open();
    for (const call of ['expire', 'touch', 'getWithInfo'] as const) {
      await expect(cache[call](key as string)).rejects.toThrow(InvalidKeyError);
    }
  });

  test.each([
    ['ttl', 0],
    ['ttl', 'soon'],
    ['ttl', { ttl: 0 }],
    ['staleTtl', { staleTtl: -1 }],
    ['jitter', { jitter: 2 }],
    ['memory', { memory: false }],
    ['negativeTtl', { negativeTtl: 5 }],
    ['tll', { tll: 5 }],
    ['options', null],
    ['options', true],
  ])('%s in %o', async (path, life) => {
    const cache = await open();
    await cache.set('k', 1);
    await expect(cache.touch('k', life as number)).rejects.toMatchObject({
      code: 'RINGCACHE_INVALID_OPTION',
      path,
    });
    await expect(cache.touch('k', life as number)).rejects.toThrow(InvalidOptionError);
    expect((await cache.getWithInfo('k'))?.ttlLeft).toBeGreaterThan(3_000_000);
  });

  test('a closed cache', async () => {
    const cache = await open();
    await cache.close();
    for (const call of ['expire', 'touch', 'getWithInfo'] as const) {
      await expect(cache[call]('k')).rejects.toMatchObject({ code: 'RINGCACHE_CLOSED' });
    }
  });
});

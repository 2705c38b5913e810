/**
 * P6: a node that comes back never serves what was deleted while it was away.
 *
 * Goal: the delete is known to whoever uses the node next, though the process
 * that made it has not reached the node yet, or never will.
 * Method: each process reaches node-1 through a proxy of its own, so that a
 * test says who comes back first.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CacheOptions, createLocks, type RingCache } from '../../src/index.ts';
import type { LocalNode } from '../../src/local.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { heard, keyOn, keysOn, movingKeys, useCaches } from './caches.ts';

const nodes = useNodes(4);
const fork = useFork();
const caches = useCaches();
const proxies: FaultProxy[] = [];

const BREAKER = { resetTimeout: 100 };

/** One way to node-1 for the deleter, and one for the other process. */
let [mine, others]: FaultProxy[] = [];

beforeEach(async () => {
  [mine, others] = [await newProxy(nodes[0]!), await newProxy(nodes[0]!)];
});

afterEach(async () => {
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
});

async function newProxy(node: LocalNode): Promise<FaultProxy> {
  const proxy = await FaultProxy.start(node.port);
  proxies.push(proxy);
  return proxy;
}

function through(proxy: FaultProxy | undefined, count = 3): CacheOptions {
  const seats = [{ id: 'node-1', url: proxy?.url ?? '' }, ...nodes.slice(1, count)];
  return { nodes: seats, memory: false, breaker: BREAKER };
}

const stateOf = (cache: RingCache, id = 'node-1') =>
  cache.topology.nodes.find((node) => node.id === id)?.state;

/** How many keys are noted for node-1 at another node. */
async function notedAt(node: LocalNode | undefined, id = 'node-1'): Promise<number> {
  if (node === undefined) throw new TypeError('no node');
  return Number((await command(node, 'HLEN', `${caches.namespace}:m:${id}`)).slice(1));
}

async function cut(...ways: (FaultProxy | undefined)[]): Promise<void> {
  await Promise.all(ways.map(async (proxy) => proxy?.refuse()));
}

describe('a delete that a node did not confirm', () => {
  test('is done by another process that comes back to it first', async () => {
    const [cache, other] = [await caches.open(through(mine)), await caches.open(through(others))];
    const [key, kept] = keysOn(cache, 'node-1', { count: 2 }) as [string, string];
    await cache.setMany([key, kept].map((one) => [one, 'old']));
    await cut(mine, others);
    expect(await cache.delete(key)).toBe(false);
    expect([await notedAt(nodes[1]), await notedAt(nodes[2])]).toEqual([1, 1]);
    await others?.accept();
    await eventually(() => stateOf(other) === 'up');
    expect(stateOf(cache)).toBe('down');
    expect(await other.getMany([key, kept])).toEqual([undefined, 'old']);
    await eventually(async () => {
      expect([await notedAt(nodes[1]), await notedAt(nodes[2])]).toEqual([0, 0]);
    });
  });

  test('is done though the process that made it was killed', async () => {
    const app = await caches.openIn(fork, through(mine));
    const other = await caches.open(through(others));
    const key = keyOn(other, 'node-1');
    await app.call('set', key, 'old');
    await cut(mine, others);
    expect(await app.call('delete', key)).toBe(false);
    await app.kill();
    await others?.accept();
    await eventually(() => stateOf(other) === 'up');
    expect(await other.get(key)).toBeUndefined();
  });

  test('is done by a process that was started while the node was away', async () => {
    const cache = await caches.open(through(mine));
    const key = keyOn(cache, 'node-1');
    await cache.set(key, 'old');
    await cut(mine, others);
    expect(await cache.delete(key)).toBe(false);
    const other = await caches.open(through(others));
    expect(await other.get(key)).toBeUndefined();
    await others?.accept();
    await eventually(() => stateOf(other) === 'up');
    expect(await other.get(key)).toBeUndefined();
  });

  test('is done by a process that is started when the node is back', async () => {
    const cache = await caches.open(through(mine));
    const key = keyOn(cache, 'node-1');
    await cache.set(key, 'old');
    await cut(mine);
    expect(await cache.delete(key)).toBe(false);
    const other = await caches.open(through(others));
    expect(await other.get(key)).toBeUndefined();
  });

  test('is known by one guardian when the other is down as well', async () => {
    const [cache, other] = [await caches.open(through(mine)), await caches.open(through(others))];
    const key = keyOn(cache, 'node-1');
    await cache.set(key, 'old');
    await nodes[1]!.kill();
    await cut(mine, others);
    expect(await cache.delete(key)).toBe(false);
    await others?.accept();
    await eventually(() => stateOf(other) === 'up');
    expect(await other.get(key)).toBeUndefined();
  });

  test('is known by one guardian when the other died after it', async () => {
    const [cache, other] = [await caches.open(through(mine)), await caches.open(through(others))];
    const key = keyOn(cache, 'node-1');
    await cache.set(key, 'old');
    await cut(mine, others);
    expect(await cache.delete(key)).toBe(false);
    await nodes[1]!.kill();
    await others?.accept();
    await eventually(() => stateOf(other) === 'up');
    expect(await other.get(key)).toBeUndefined();
  });

  test('is done though the whole network of a process was away with it', async () => {
    const cache = await caches.open({ nodes: nodes.slice(0, 3), memory: false, breaker: BREAKER });
    const ways = [others!, await newProxy(nodes[1]!), await newProxy(nodes[2]!)];
    const seats = ways.map(({ url }, i) => ({ id: `node-${i + 1}`, url }));
    const other = await caches.open({ nodes: seats, memory: false, breaker: BREAKER });
    const key = keyOn(other, 'node-1');
    await other.set(key, 'old');
    await nodes[0]!.pause();
    await cut(...ways);
    expect(await cache.delete(key)).toBe(false);
    await cache.close();
    await nodes[0]!.resume();
    // The node first, and those who know a moment later.
    await ways[0]!.accept();
    await eventually(() => ways[0]!.connections > 0);
    await Promise.all(ways.slice(1).map((proxy) => proxy.accept()));
    await eventually(() => stateOf(other) === 'up');
    expect(await other.get(key)).toBeUndefined();
    expect(other.topology.epoch).toBe(1);
  });

  test('is not remembered any longer when its own process has made up for it', async () => {
    const cache = await caches.open(through(mine));
    const confirmed = heard(cache, 'invalidation:confirmed');
    const keys = keysOn(cache, 'node-1', { count: 20 });
    await cache.setMany(keys.map((key) => [key, 'old']));
    // Asked in vain three times in a row, its breaker stays closed.
    mine?.set({ kind: 'blackhole' });
    expect(await cache.deleteMany(keys)).not.toContain(true);
    expect(stateOf(cache)).toBe('up');
    expect(await notedAt(nodes[1])).toBe(20);
    mine?.set({ kind: 'none' });
    mine?.reset();
    await eventually(() => confirmed.length === 20);
    await eventually(async () => {
      expect([await notedAt(nodes[1]), await notedAt(nodes[2])]).toEqual([0, 0]);
    });
    expect(new Set(await cache.getMany(keys))).toEqual(new Set([undefined]));
  });
});

describe('a delete that a node confirms later', () => {
  test('leaves nothing noted, though nobody had to connect anew', async () => {
    const cache = await caches.open(through(mine));
    const key = keyOn(cache, 'node-1');
    await cache.set(key, 'old');
    mine?.set({ kind: 'hold' });
    expect(await cache.delete(key)).toBe(false);
    mine?.set({ kind: 'none' });
    await eventually(async () => {
      expect([await notedAt(nodes[1]), await notedAt(nodes[2])]).toEqual([0, 0]);
    });
    expect(await cache.get(key)).toBeUndefined();
  });

  test('at once is confirmed, and leaves nothing noted', async () => {
    const cache = await caches.open(through(mine));
    const unconfirmed = heard(cache, 'invalidation:unconfirmed');
    const key = keyOn(cache, 'node-1');
    await cache.set(key, 'old');
    mine?.set({ kind: 'hold' });
    const deleting = cache.delete(key);
    // The first attempt is over: noted, and asked again.
    await eventually(async () => (await notedAt(nodes[1])) === 1, { everyMs: 1 });
    mine?.set({ kind: 'none' });
    expect(await deleting).toBe(true);
    expect(unconfirmed).toEqual([]);
    await eventually(async () => {
      expect([await notedAt(nodes[1]), await notedAt(nodes[2])]).toEqual([0, 0]);
    });
    expect(await cache.get(key)).toBeUndefined();
  });
});

test('a set that its node did not take is noted like a delete: what it was to replace is gone', async () => {
  const [cache, other] = [await caches.open(through(mine)), await caches.open(through(others))];
  const key = keyOn(cache, 'node-1');
  await cache.set(key, 'old');
  await cut(mine, others);
  expect(await cache.set(key, 'new')).toBe(false);
  await others?.accept();
  await eventually(() => stateOf(other) === 'up');
  expect(await other.get(key)).toBeUndefined();
});

test('many deletes cost the guardians a few scripts, not one for each', async () => {
  const cache = await caches.open(through(mine));
  const keys = keysOn(cache, 'node-1', { count: 2_000 });
  await cut(mine);
  await eventually(() => stateOf(cache) === 'down');
  const scripts = async (): Promise<number> => {
    const said = await command(nodes[1]!, 'INFO', 'commandstats');
    return Number(/cmdstat_evalsha:calls=(\d+)/.exec(said)?.[1]);
  };
  const before = await scripts();
  expect(await cache.deleteMany(keys)).not.toContain(true);
  expect(await notedAt(nodes[1])).toBe(2_000);
  expect((await scripts()) - before).toBeLessThan(50);
});

test('more deletes than can be kept: nothing that the node has is believed', async () => {
  const [cache, other] = [await caches.open(through(mine)), await caches.open(through(others))];
  const keys = keysOn(cache, 'node-1', { count: 10_001 });
  const [kept = '', ...rest] = keysOn(cache, 'node-1', { count: 101, prefix: 'other' });
  await cache.setMany([kept, ...rest, ...keys.slice(0, 100)].map((key) => [key, 'old']));
  await cut(mine, others);
  await eventually(() => stateOf(cache) === 'down');
  expect(await cache.deleteMany(keys)).not.toContain(true);
  expect([await notedAt(nodes[1]), await notedAt(nodes[2])]).toEqual([1, 1]);
  // node-1 decides which document comes next: nobody but who reaches it can raise its floor.
  await others?.accept();
  await eventually(() => stateOf(other) === 'up');
  expect(new Set(await other.getMany([kept, ...rest, ...keys]))).toEqual(new Set([undefined]));
  expect(other.topology.epoch).toBe(2);
  expect(await other.set(kept, 'new')).toBe(true);
  expect(await other.get(kept)).toBe('new');
  await eventually(async () => {
    expect([await notedAt(nodes[1]), await notedAt(nodes[2])]).toEqual([0, 0]);
  });
});

test('where only locks are kept, nobody is asked what was missed', async () => {
  const asked = async (): Promise<string[]> => {
    const said = await Promise.all(nodes.map((node) => command(node, 'INFO', 'commandstats')));
    return said.map((text) => /cmdstat_hscan:calls=(\d+)/.exec(text)?.[1] ?? '0');
  };
  const before = await asked();
  await using locks = await createLocks({ nodes, namespace: caches.namespace });
  await (await locks.acquire('l')).release();
  expect(await asked()).toEqual(before);
  await caches.open({ nodes });
  expect(await asked()).not.toEqual(before);
});

test('in a ring of one node nobody can be told: the process that made the delete does it', async () => {
  const cache = await caches.open({ ...through(mine, 1) });
  await cache.set('k', 'old');
  await cut(mine);
  expect(await cache.delete('k')).toBe(false);
  await mine?.accept();
  await eventually(() => stateOf(cache) === 'up');
  expect(await cache.get('k')).toBeUndefined();
});

describe('while the ring changes, a delete that the previous owner did not confirm', () => {
  async function inJointPhase(options: CacheOptions = through(others)) {
    const [key] = await movingKeys({
      before: ['node-1', 'node-2', 'node-3'],
      after: ['node-1', 'node-2', 'node-3', 'node-4'],
      from: 'node-1',
      to: 'node-4',
    });
    const cache = await caches.open(through(mine));
    const other = await caches.open(options);
    await cache.set(key!, 'old');
    await cache.addNode(nodes[3]!, { keysPerSecond: 1 });
    await eventually(async () => {
      await other.get(key!);
      return other.topology.state === 'joint';
    });
    return { cache, other, key: key! };
  }

  test('is done at both owners by whoever comes back first', async () => {
    const { cache, other, key } = await inJointPhase();
    // It has been copied.
    expect(await other.getOrSet(key, () => 'never')).toBe('old');
    await cut(mine, others);
    expect(await cache.delete(key)).toBe(false);
    expect(await other.get(key)).toBeUndefined();
    await others?.accept();
    await eventually(() => stateOf(other) === 'up');
    expect(await other.get(key)).toBeUndefined();
    expect(await other.getOrSet(key, () => 'new')).toBe('new');
    expect(await command(nodes[0]!, 'EXISTS', `${caches.namespace}:v:${key}`)).toBe(':0\r\n');
  });

  test('is done at the present owner again if it was copied there meanwhile', async () => {
    // Not told of anything, it looks every 2.5 s only.
    const rules = ['reset', 'on', '>pw', '~*', '&*', '+@all', '-client|tracking'];
    for (const node of nodes) await command(node, 'ACL', 'SETUSER', 'deaf', ...rules);
    const deaf = through(others).nodes.map((node) => {
      if (typeof node === 'string') throw new TypeError('a node with an id is needed');
      return { ...node, url: node.url.replace('//', '//deaf:pw@') };
    });
    const { cache, other, key } = await inJointPhase({ ...through(others), nodes: deaf });
    await cut(mine);
    expect(await cache.delete(key)).toBe(false);
    // What could be done at the present owner has been done by then.
    await eventually(async () => (await notedAt(nodes[1], 'node-4')) === 0);
    // This one has been connected all the time.
    expect(await other.getOrSet(key, () => 'never')).toBe('old');
    others?.reset();
    await eventually(() => stateOf(other) !== 'up');
    await eventually(() => stateOf(other) === 'up');
    await eventually(async () => expect(await other.get(key)).toBeUndefined());
  });
});

describe('a node that is restarted with what it had', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ringcache-missed-'));
  const durable = useNodes(1, { args: ['--dir', folder, '--dbfilename', 'missed.rdb'] });
  afterAll(() => rmSync(folder, { recursive: true }));

  test('does not serve what was deleted meanwhile, whoever deleted it', async () => {
    const node = durable[0]!;
    const seats = [
      { id: 'a', url: node.url },
      { ...nodes[1]!, id: 'b' },
      { ...nodes[2]!, id: 'c' },
    ];
    const options = { nodes: seats, memory: false, breaker: BREAKER } as const;
    const app = await caches.openIn(fork, options);
    const other = await caches.open(options);
    const key = keyOn(other, 'a');
    expect(await app.call('set', key, 'old')).toBe(true);
    expect(await command(node, 'SAVE')).toBe('+OK\r\n');
    await node.kill();
    expect(await app.call('delete', key)).toBe(false);
    await app.kill();
    await node.restart();
    expect(await command(node, 'EXISTS', `${caches.namespace}:v:${key}`)).toBe(':1\r\n');
    await eventually(() => stateOf(other, 'a') === 'up');
    expect(await other.get(key)).toBeUndefined();
  });
});

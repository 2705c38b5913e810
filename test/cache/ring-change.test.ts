/** P8: what a change of the ring moves, what it says, and when it is refused. */
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import {
  InvalidOptionError,
  NodeUnavailableError,
  type RingCache,
  TopologyBusyError,
  TopologyConflictError,
} from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { heard, movingKeys, useCaches } from './caches.ts';

const nodes = useNodes(4);
const caches = useCaches();

const KEYS = Array.from({ length: 3_000 }, (_, i) => `user:${i}`);

async function warmed(options: object = {}): Promise<RingCache> {
  const cache = await caches.open({ nodes: nodes.slice(0, 3), memory: false, ...options });
  const stored = await cache.setMany(KEYS.map((key) => [key, `value of ${key}`]));
  expect(stored).not.toContain(false);
  return cache;
}

/** How many of the values are at hand without a load. */
async function held(cache: RingCache): Promise<number> {
  const values = await cache.getMany(KEYS);
  return values.filter((value, i) => value === `value of ${KEYS[i]}`).length;
}

const ownersOf = (cache: RingCache) => new Map(KEYS.map((key) => [key, cache.ownerOf(key)]));

function movedBetween(before: Map<string, string>, after: Map<string, string>): string[] {
  return KEYS.filter((key) => before.get(key) !== after.get(key));
}

test('a node that joins takes its share, all of it and nothing else, and no value is lost', async () => {
  const cache = await warmed();
  const before = ownersOf(cache);
  const plan = cache.plan({ add: [nodes[3]!] });
  const progress: { scanned: number; copied: number; total: number }[] = [];
  const states = heard(cache, 'topology:changed');
  const change = await cache.addNode(nodes[3]!, {
    onProgress: (now) => progress.push({ ...now }),
  });
  expect(change.epoch).toBe(2);
  expect(change.movedShare).toBeCloseTo(plan.movedShare, 10);
  expect(cache.topology).toMatchObject({ epoch: 2, state: 'joint' });
  expect(await held(cache)).toBe(KEYS.length);
  const done = await change.done;
  expect(cache.topology).toMatchObject({ epoch: 3, state: 'stable' });
  expect(await held(cache)).toBe(KEYS.length);
  const after = ownersOf(cache);
  const moved = movedBetween(before, after);
  for (const key of moved) expect(after.get(key)).toBe('node-4');
  // Three standard errors of a share that was sampled with so many keys.
  const error = 3 * Math.sqrt((plan.movedShare * (1 - plan.movedShare)) / KEYS.length);
  expect(Math.abs(moved.length / KEYS.length - plan.movedShare)).toBeLessThan(error);
  expect(done).toMatchObject({ epoch: 3, failed: 0, copied: moved.length });
  expect(done.scanned).toBeGreaterThanOrEqual(KEYS.length);
  expect(done.durationMs).toBeGreaterThan(0);
  expect(progress.at(-1)).toMatchObject({ scanned: done.scanned, copied: done.copied });
  expect(states.map(({ epoch, state }) => ({ epoch, state }))).toEqual([
    { epoch: 2, state: 'joint' },
    { epoch: 3, state: 'stable' },
  ]);
});

test('a node that leaves gives each key to another, and no value is lost', async () => {
  const cache = await warmed();
  const before = ownersOf(cache);
  const plan = cache.plan({ remove: ['node-2'] });
  const change = await cache.removeNode('node-2');
  expect(await held(cache)).toBe(KEYS.length);
  const done = await change.done;
  const after = ownersOf(cache);
  const moved = movedBetween(before, after);
  for (const key of moved) expect(before.get(key)).toBe('node-2');
  expect(moved.length).toBe(KEYS.filter((key) => before.get(key) === 'node-2').length);
  expect(done).toMatchObject({ failed: 0, copied: moved.length });
  expect(await held(cache)).toBe(KEYS.length);
  expect(change.movedShare).toBeCloseTo(plan.movedShare, 10);
  expect(new Set(cache.topology.nodes.map(({ id }) => id))).toEqual(new Set(['node-1', 'node-3']));
});

test('a change without warming moves nothing and is stable at once; what has moved is a miss', async () => {
  const cache = await warmed();
  const before = ownersOf(cache);
  const change = await cache.addNode(nodes[3]!, { warm: false });
  expect(await change.done).toMatchObject({ copied: 0, scanned: 0 });
  expect(cache.topology.state).toBe('stable');
  expect(await held(cache)).toBe(KEYS.length - movedBetween(before, ownersOf(cache)).length);
});

test('a value is copied with what is left of its life', async () => {
  const cache = await caches.open({ nodes: nodes.slice(0, 3), memory: false });
  const ids = ['node-1', 'node-2', 'node-3'];
  const [key = ''] = await movingKeys({
    before: ids,
    after: [...ids, 'node-4'],
    from: 'node-1',
    to: 'node-4',
  });
  await cache.set(key, 'short', { ttl: 400 });
  await (await cache.addNode(nodes[3]!)).done;
  const { ttlLeftMs, owner, atNode } = await cache.explain(key);
  expect({ owner, atNode }).toEqual({ owner: 'node-4', atNode: 'fresh' });
  expect(ttlLeftMs).toBeLessThanOrEqual(401);
  await eventually(async () => (await cache.get(key)) === undefined, { withinMs: 600 });
});

test('an abort before the new ring serves leaves all as it was; later it ends the copying only', async () => {
  const cache = await warmed();
  const before = cache.topology;
  const aborted = AbortSignal.abort(new Error('changed my mind'));
  await expect(cache.addNode(nodes[3]!, { signal: aborted })).rejects.toThrow('changed my mind');
  expect(cache.topology).toEqual(before);
  const control = new AbortController();
  const change = await cache.addNode(nodes[3]!, {
    keysPerSecond: 100,
    signal: control.signal,
    onProgress: () => control.abort(),
  });
  const done = await change.done;
  expect(done.copied).toBeLessThan(500);
  expect(cache.topology).toMatchObject({ epoch: 3, state: 'stable' });
});

test('two changes at once: the second is told that it has to wait, and changes nothing', async () => {
  const cache = await warmed();
  const other = await caches.open({ nodes: nodes.slice(0, 3), memory: false });
  const change = await cache.addNode(nodes[3]!, { keysPerSecond: 1_000 });
  for (const one of [cache, other]) {
    await expect(one.removeNode('node-1')).rejects.toThrow(TopologyBusyError);
    await expect(one.removeNode('node-1')).rejects.toMatchObject({
      code: 'RINGCACHE_TOPOLOGY_BUSY',
    });
  }
  expect(cache.topology).toMatchObject({ epoch: 2, state: 'joint' });
  await change.done;
  await (await cache.removeNode('node-1')).done;
  expect(cache.topology).toMatchObject({ epoch: 5, state: 'stable' });
  await expect(
    Promise.all([cache.removeNode('node-2'), cache.removeNode('node-3')]),
  ).rejects.toThrow(TopologyBusyError);
  await eventually(() => cache.topology.state === 'stable' && cache.topology.nodes.length === 2);
});

describe('a change that cannot be made', () => {
  /** What it rejects with, while the ring, the nodes and their epochs stay as they are. */
  async function refused(cache: RingCache, change: () => Promise<unknown>, error: unknown) {
    const before = cache.topology;
    const fences = () => {
      return Promise.all(nodes.map((node) => command(node, 'GET', `${caches.namespace}:e`)));
    };
    const atNodes = await fences();
    const failure = await change().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(failure).toBeInstanceOf(error);
    expect(cache.topology).toEqual(before);
    expect(await fences()).toEqual(atNodes);
    expect(await cache.set('k', 1)).toBe(true);
  }

  test('names a node that is known already, unknown, or the last', async () => {
    const cache = await caches.open({ nodes: [nodes[0]!] });
    await refused(cache, () => cache.addNode(nodes[0]!), InvalidOptionError);
    await refused(cache, () => cache.removeNode('nobody'), InvalidOptionError);
    await refused(cache, () => cache.removeNode('node-1'), InvalidOptionError);
    await refused(cache, () => cache.addNode('http://127.0.0.1:1'), InvalidOptionError);
    await refused(
      cache,
      () => cache.removeNode('node-1', { keysPerSecond: 0 }),
      InvalidOptionError,
    );
    expect(() => cache.plan({ remove: ['nobody'] })).toThrow(InvalidOptionError);
  });

  test.each(['refuses', 'is silent'])('names a node that %s', async (how) => {
    const cache = await caches.open({ nodes: [nodes[0]!] });
    const proxy = await FaultProxy.start(nodes[1]!.port);
    if (how === 'refuses') await proxy.refuse();
    else proxy.set({ kind: 'blackhole' });
    const seat = { id: 'silent', url: proxy.url };
    await refused(cache, () => cache.addNode(seat), NodeUnavailableError);
    // No handle is left, and it may join when it answers.
    await eventually(() => proxy.connections === 0);
    if (how === 'refuses') await proxy.accept();
    else proxy.set({ kind: 'none' });
    await (await cache.addNode(seat)).done;
    expect(cache.topology.nodes).toHaveLength(2);
    await cache.close();
    await proxy.close();
  });

  test('names a node with another password, and does not repeat it', async () => {
    const cache = await caches.open({ nodes: [nodes[0]!] });
    const withPassword = (word: string) => nodes[3]!.url.replace('redis://', `redis://:${word}@`);
    await command(nodes[3]!, 'CONFIG', 'SET', 'requirepass', 'right-word');
    try {
      const failure = await cache
        .addNode({ id: 'locked', url: withPassword('secret-word') })
        .catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(NodeUnavailableError);
      expect(inspect(failure, { depth: 9 })).not.toContain('secret-word');
      expect(cache.topology).toMatchObject({ epoch: 1, state: 'stable' });
      expect(cache.topology.nodes).toHaveLength(1);
      await (await cache.addNode({ id: 'locked', url: withPassword('right-word') })).done;
      expect(cache.topology.nodes).toHaveLength(2);
    } finally {
      await nodes[3]!.restart();
    }
  });

  test('names a node of another fleet, which is left untouched', async () => {
    const theirs = await caches.open({ nodes: nodes.slice(1, 3) });
    await theirs.set('k', 'theirs');
    const cache = await caches.open({ nodes: [nodes[0]!] });
    await refused(cache, () => cache.addNode(nodes[1]!), TopologyConflictError);
    // Nor is it raised by a fleet that has come further than its own.
    await (await cache.addNode(nodes[3]!)).done;
    await refused(cache, () => cache.addNode(nodes[1]!), TopologyConflictError);
    expect(await theirs.get('k')).toBe('theirs');
    expect(theirs.topology).toMatchObject({ epoch: 1, state: 'stable' });
  });
});

describe('a dead node', () => {
  test('can be removed; its keys are loaded and stored again at once', async () => {
    const cache = await warmed();
    const before = ownersOf(cache);
    await nodes[2]!.kill();
    await eventually(() => cache.topology.nodes[2]!.state === 'down');
    const change = await cache.removeNode('node-3');
    expect(await change.done).toMatchObject({ epoch: 3, copied: 0 });
    expect(cache.topology).toMatchObject({ epoch: 3, state: 'stable' });
    const lost = movedBetween(before, ownersOf(cache));
    expect(await held(cache)).toBe(KEYS.length - lost.length);
    expect(await cache.getOrSet(lost[0]!, () => 'again')).toBe('again');
    expect(await cache.get(lost[0]!)).toBe('again');
  });

  test('does not keep another from joining', async () => {
    const cache = await warmed();
    await nodes[2]!.kill();
    await eventually(() => cache.topology.nodes[2]!.state === 'down');
    const change = await cache.addNode(nodes[3]!);
    expect(cache.topology).toMatchObject({ epoch: 2, state: 'joint' });
    expect(cache.topology.nodes.map(({ id }) => id)).toContain('node-4');
    // How long it waits when nobody starts the node again: test/topology/change.test.ts.
    await nodes[2]!.restart();
    await change.done;
    expect(cache.topology.state).toBe('stable');
    await eventually(() => cache.topology.nodes.every(({ state }) => state === 'up'));
    expect(await cache.set('after', 1)).toBe(true);
  });
});

test('a node that left and comes back does not show what it held before', async () => {
  const cache = await warmed();
  const [key = ''] = KEYS.filter((each) => cache.ownerOf(each) === 'node-3');
  await (await cache.removeNode('node-3')).done;
  await cache.delete(key);
  await (await cache.addNode(nodes[2]!)).done;
  expect(cache.ownerOf(key)).toBe('node-3');
  expect(await cache.get(key)).toBeUndefined();
  expect(await cache.getOrSet(key, () => 'new')).toBe('new');
  expect(await cache.get(key)).toBe('new');
  expect(await held(cache)).toBe(KEYS.length - 1);
});

test('a node that left and comes back cold shows nothing of what it held, replaced or not', async () => {
  const cache = await warmed();
  const theirs = KEYS.filter((each) => cache.ownerOf(each) === 'node-3');
  await (await cache.removeNode('node-3', { warm: false })).done;
  await (await cache.addNode(nodes[2]!, { warm: false })).done;
  expect(new Set(await cache.getMany(theirs))).toEqual(new Set([undefined]));
  expect(await cache.explain(theirs[0]!)).toMatchObject({ owner: 'node-3', atNode: 'outdated' });
  expect(await cache.getOrSet(theirs[0]!, () => 'new')).toBe('new');
});

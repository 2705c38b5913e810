/** Changes beyond adding and removing one node, on real servers. */
import { describe, expect, test } from 'vitest';
import {
  createCache,
  InvalidOptionError,
  NodeUnavailableError,
  type RingCache,
  recoverTopology,
  TopologyConflictError,
} from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { keysOn, seats, useCaches } from './caches.ts';

const nodes = useNodes(5);
const caches = useCaches();
const KEYS = Array.from({ length: 500 }, (_, i) => `user:${i}`);
const ids = (cache: RingCache) => cache.topology.nodes.map(({ id }) => id);

async function warmed(options: object = {}): Promise<RingCache> {
  const cache = await caches.open({ nodes: nodes.slice(0, 3), memory: false, ...options });
  expect(await cache.setMany(KEYS.map((key) => [key, key]))).not.toContain(false);
  return cache;
}

async function lost(cache: RingCache): Promise<string[]> {
  const values = await cache.getMany(KEYS);
  return KEYS.filter((key, i) => values[i] !== key);
}

describe('several changes in one', () => {
  test('nodes come and go and weigh something else, and no value is lost', async () => {
    const cache = await warmed();
    const other = await caches.open({ nodes: nodes.slice(0, 3), memory: false });
    const add = seats(nodes.slice(3, 5));
    const wanted = { add, remove: ['node-1'], weights: { 'node-2': 2 } };
    const plan = cache.plan(wanted);
    const change = await cache.changeRing(wanted);
    expect(cache.topology).toMatchObject({
      state: 'joint',
      change: { add: ['node-4', 'node-5'], remove: ['node-1'], weights: ['node-2'] },
    });
    expect(change.movedShare).toBeCloseTo(plan.movedShare, 10);
    expect(await lost(cache)).toEqual([]);
    expect(await change.done).toMatchObject({ epoch: 3, failed: 0 });
    expect(cache.topology).not.toHaveProperty('change');
    expect(ids(cache)).toEqual(['node-2', 'node-3', 'node-4', 'node-5']);
    expect(cache.topology.nodes[0]).toMatchObject({ weight: 2 });
    expect(cache.topology.nodes[0]!.share).toBeCloseTo(plan.after['node-2']!, 10);
    expect(await lost(cache)).toEqual([]);
    expect(await lost(other)).toEqual([]);
    expect(other.topology.fingerprint).toBe(cache.topology.fingerprint);
    // Nobody asks it any more, once its locks are over: the one that decided has left.
    expect(cache.topology.control).toBe('node-2');
  });

  test.each([
    ['nothing', {}, 'change'],
    ['the weight of a stranger', { weights: { x: 2 } }, 'id'],
    ['the weight of one that leaves', { remove: ['node-1'], weights: { 'node-1': 2 } }, 'id'],
    ['a weight of 0', { weights: { 'node-1': 0 } }, 'change.weights.node-1'],
    ['an address that is none', { urls: { 'node-1': 'http://x' } }, 'change.urls.node-1.url'],
    ['what there is not', { adds: [] } as object, 'change.adds'],
  ])('%s is refused', async (_, change, path) => {
    const cache = await caches.open({ nodes: nodes.slice(0, 3) });
    const refused = cache.changeRing(change);
    await expect(refused).rejects.toThrow(InvalidOptionError);
    await expect(refused).rejects.toThrow(path);
    expect(cache.topology).toMatchObject({ epoch: 1, state: 'stable' });
  });
});

describe('another address under the same id', () => {
  const at = (i: number) => nodes[i]!.url;

  test('of the same server costs nothing, and every process goes there', async () => {
    const cache = await warmed();
    const other = await caches.open({ nodes: nodes.slice(0, 3), memory: false });
    const url = at(1).replace('127.0.0.1', 'localhost');
    expect(url).not.toBe(at(1));
    await (await cache.changeRing({ urls: { 'node-2': url } })).done;
    expect(await lost(cache)).toEqual([]);
    expect(await lost(other)).toEqual([]);
    expect(other.topology).toMatchObject({ epoch: 3, state: 'stable' });
  });

  test('of a server in place of one that is gone: its share is loaded once more', async () => {
    const cache = await warmed();
    const other = await caches.open({ nodes: nodes.slice(0, 3), memory: false });
    const theirs = KEYS.filter((key) => cache.ownerOf(key) === 'node-2');
    await nodes[1]!.kill();
    await eventually(() => cache.topology.nodes[1]!.state === 'down');
    await (await cache.changeRing({ urls: { 'node-2': at(3) } })).done;
    expect(await lost(cache)).toEqual(theirs);
    await eventually(() => other.topology.epoch === 3);
    expect(await cache.set(theirs[0]!, theirs[0])).toBe(true);
    expect(await other.get(theirs[0]!)).toBe(theirs[0]);
    // Whoever starts with the old address is told the new one.
    const late = await caches.open({ nodes: nodes.slice(0, 3), memory: false });
    expect(await late.get(theirs[0]!)).toBe(theirs[0]);
  });

  test('of another server, while the present one answers, is refused', async () => {
    const cache = await warmed();
    const refused = cache.changeRing({ urls: { 'node-2': at(3) } });
    await expect(refused).rejects.toThrow(TopologyConflictError);
    await expect(refused).rejects.toThrow('still answers at its present address');
    expect(await lost(cache)).toEqual([]);
    expect(cache.topology).toMatchObject({ epoch: 1, state: 'stable' });
  });
});

describe('a server that decides and is no node', () => {
  const withControl = () => ({ nodes: nodes.slice(0, 3), control: nodes[4]!.url });

  test('keeps no values, and decides when every node may leave', async () => {
    const cache = await warmed(withControl());
    expect(cache.topology.control).toBe('@control');
    await (await cache.changeRing({ add: seats([nodes[3]!]), remove: ['node-1'] })).done;
    expect(cache.topology).toMatchObject({ epoch: 3, control: '@control' });
    expect(await lost(cache)).toEqual([]);
    const stands = await command(nodes[4]!, 'KEYS', `${caches.namespace}:*`);
    expect(stands).not.toContain(':v:');
    expect(stands).toContain(`${caches.namespace}:t`);
  });

  test('is known to a process that was not told', async () => {
    const cache = await warmed(withControl());
    await (await cache.addNode(nodes[3]!)).done;
    const late = await caches.open({ nodes: nodes.slice(0, 3), memory: false });
    expect(late.topology.control).toBe('@control');
    await (await late.removeNode('node-4')).done;
    expect(late.topology.epoch).toBe(5);
  });

  test('of which one process knows and the other not is a conflict at the first start', async () => {
    await warmed(withControl());
    const others = caches.open({ nodes: nodes.slice(0, 3) });
    await expect(others).rejects.toThrow('nodes, weights, ring options and control');
  });

  test('may be away: all is served, and nothing changed; then another one decides', async () => {
    const cache = await warmed(withControl());
    await nodes[4]!.kill();
    expect(await lost(cache)).toEqual([]);
    const refused = cache.addNode(nodes[3]!);
    await expect(refused).rejects.toThrow(NodeUnavailableError);
    await expect(refused).rejects.toThrow('ringcache topology recover');
    expect(cache.topology).toMatchObject({ epoch: 1, state: 'stable' });
    expect(await cache.recoverTopology()).toEqual({ epoch: 2, control: 'node-1', believed: true });
    await (await cache.addNode(nodes[3]!)).done;
    expect(await lost(cache)).toEqual([]);
  });

  test('is not a node as well', async () => {
    const both = { nodes: nodes.slice(0, 3), control: nodes[1]!.url };
    await expect(createCache(both)).rejects.toThrow('another server than that of node-2');
  });
});

test('nodes that contradict each other are mended without a cache', async () => {
  const cache = await warmed();
  await (await cache.addNode(nodes[3]!)).done;
  await cache.close();
  const key = `${caches.namespace}:e`;
  const stands = await command(nodes[1]!, 'GET', key);
  const other = stands.split('\r\n')[1]!.replace(/.{8}$/, '00000000');
  await command(nodes[1]!, 'SET', key, other);
  const options = { nodes: nodes.slice(0, 3), namespace: caches.namespace };
  await expect(createCache(options)).rejects.toThrow('topology recover');
  expect(await recoverTopology(options)).toMatchObject({ epoch: 4, believed: false });
  const after = await caches.open({ ...options, memory: false });
  expect(ids(after)).toEqual(['node-1', 'node-2', 'node-3', 'node-4']);
  expect(await lost(after)).toEqual(KEYS);
  const [theirs = ''] = keysOn(after, 'node-2');
  expect(await after.set(theirs, 1)).toBe(true);
});

/** The whole fleet, found from some of its nodes; nothing is changed by looking. */
import { describe, expect, test } from 'vitest';
import { discover, NodeUnavailableError, TopologyConflictError } from '../../src/index.ts';
import { command, useNodes } from '../support/nodes.ts';
import { keysOn, seats, useCaches } from './caches.ts';

const nodes = useNodes(4);
const caches = useCaches();
const find = (...given: { id: string; url: string }[]) =>
  discover({ nodes: seats(given), namespace: caches.namespace });

async function rejection(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => new Error('it resolved'),
    (error: Error) => error,
  );
}

describe('one node that answers', () => {
  test('leads to all, with their weights, and to the same owners', async () => {
    const [first, second, third] = nodes;
    const cache = await caches.open({
      nodes: [first!, { id: 'node-2', url: second!.url, weight: 2 }, third!],
    });
    const fleet = await find(second!);
    expect(fleet).toMatchObject({ epoch: 1, state: 'stable', change: undefined });
    expect(fleet.nodes).toEqual([
      { id: 'node-1', url: first!.url, weight: 1, epoch: 1, problem: undefined },
      { id: 'node-2', url: second!.url, weight: 2, epoch: 1, problem: undefined },
      { id: 'node-3', url: third!.url, weight: 1, epoch: 1, problem: undefined },
    ]);
    const other = await caches.open(fleet.options);
    expect(other.topology).toEqual(cache.topology);
  });

  test('leads to the present ring from one that has left it', async () => {
    const cache = await caches.open({ nodes: nodes.slice(0, 3) });
    await (await cache.removeNode('node-1')).done;
    await (await cache.addNode(seats([nodes[3]!])[0]!)).done;
    const { epoch } = cache.topology;
    const fleet = await find(nodes[0]!);
    expect(fleet.epoch).toBeGreaterThanOrEqual(epoch);
    expect(fleet.nodes.map(({ id }) => id).sort()).toEqual(['node-2', 'node-3', 'node-4']);
  });

  test('tells which of the others do not', async () => {
    await caches.open({ nodes: nodes.slice(0, 3) });
    await nodes[2]!.kill();
    const fleet = await find(nodes[0]!);
    expect(fleet.nodes[2]).toMatchObject({ id: 'node-3', epoch: undefined });
    expect(fleet.nodes[2]?.problem).toContain('ECONNREFUSED');
  });

  test('is enough among given ones that are down, and a hanging one does not hold it up', async () => {
    await caches.open({ nodes: nodes.slice(0, 3) });
    await nodes[0]!.kill();
    await nodes[1]!.pause();
    const fleet = await find(...nodes.slice(0, 3));
    expect(fleet.nodes.map(({ epoch }) => epoch)).toEqual([undefined, undefined, 1]);
  });

  test('is reached where it was said to be, whatever the others call it', async () => {
    await caches.open({ nodes: nodes.slice(0, 2) });
    const moved = nodes[1]!.url.replace('127.0.0.1', 'localhost');
    const fleet = await find(nodes[0]!, { id: 'node-2', url: moved });
    expect(fleet.nodes[1]?.url).toBe(moved);
    expect(fleet.options.nodes[1]).toMatchObject({ url: moved });
  });
});

describe('what all processes must have alike', () => {
  test('is that of the fleet, not of who asks', async () => {
    const ring = { points: 64, placement: 'ketama' } as const;
    const cache = await caches.open({ nodes: nodes.slice(0, 2), ring });
    const fleet = await find(nodes[0]!);
    expect(fleet.options.ring).toEqual(ring);
    expect(fleet.control).toBe('node-1');
    const other = await caches.open(fleet.options);
    expect(other.topology.fingerprint).toBe(cache.topology.fingerprint);
  });

  test('also a control that is no member', async () => {
    const control = nodes[3]!.url;
    const cache = await caches.open({ nodes: nodes.slice(0, 2), control });
    const fleet = await find(nodes[0]!);
    expect(fleet).toMatchObject({ control: '@control', options: { control } });
    const other = await caches.open(fleet.options);
    expect(other.topology).toEqual(cache.topology);
  });

  test('and where a node is that was given another address', async () => {
    const cache = await caches.open({ nodes: nodes.slice(0, 2) });
    const moved = nodes[1]!.url.replace('127.0.0.1', 'localhost');
    await (await cache.changeRing({ urls: { 'node-2': moved } })).done;
    const fleet = await find(...nodes.slice(0, 2));
    expect(fleet.nodes[1]).toMatchObject({ id: 'node-2', url: moved, problem: undefined });
  });
});

test('a member that serves another fleet meanwhile does not lead there', async () => {
  await caches.open({ nodes: nodes.slice(0, 2) }).then((cache) => cache.close());
  await command(nodes[1]!, 'FLUSHALL');
  const other = await caches.open({ nodes: nodes.slice(1, 2) });
  await (await other.changeRing({ weights: { 'node-2': 3 } })).done;
  const fleet = await find(nodes[0]!);
  expect(fleet.nodes.map(({ id, weight }) => [id, weight])).toEqual([
    ['node-1', 1],
    ['node-2', 1],
  ]);
});

test('a change under way is told', async () => {
  const cache = await caches.open({ nodes: nodes.slice(0, 3) });
  await cache.setMany(keysOn(cache, 'node-1', { count: 2_000 }).map((key) => [key, 1]));
  const control = new AbortController();
  const options = { keysPerSecond: 1, signal: control.signal };
  const { done } = await cache.removeNode('node-1', options);
  try {
    const fleet = await find(nodes[1]!);
    expect(fleet).toMatchObject({
      state: 'joint',
      change: { add: [], remove: ['node-1'], weights: [] },
    });
    expect(fleet.nodes.map(({ id, weight }) => [id, weight])).toEqual([
      ['node-2', 1],
      ['node-3', 1],
      ['node-1', 0],
    ]);
    expect(fleet.options.nodes).toHaveLength(2);
  } finally {
    control.abort();
    await done;
  }
});

test('nodes that no cache has used are told as such, and left as they are', async () => {
  const fresh = { nodes: seats(nodes.slice(0, 2)), namespace: caches.namespace, ttl: '5m' };
  const before = await command(nodes[0]!, 'DBSIZE');
  const fleet = await discover(fresh);
  expect(fleet).toMatchObject({ epoch: undefined, state: 'stable' });
  expect(fleet.nodes.map(({ epoch, problem }) => [epoch, problem])).toEqual([
    [undefined, undefined],
    [undefined, undefined],
  ]);
  expect(fleet.options).toMatchObject({ ttl: '5m', namespace: caches.namespace });
  expect(await command(nodes[0]!, 'DBSIZE')).toBe(before);
});

describe('it rejects', () => {
  test('when none of the given nodes answers, with what each of them said', async () => {
    await Promise.all([nodes[0]!.kill(), nodes[1]!.kill()]);
    const one = await rejection(find(nodes[0]!));
    expect(one).toBeInstanceOf(NodeUnavailableError);
    expect(one).toMatchObject({ node: 'node-1', reason: 'connection' });
    expect(one.message).toContain('ECONNREFUSED');
    const two = await rejection(find(nodes[0]!, nodes[1]!));
    expect(two.message).toMatch(/node-1: .*ECONNREFUSED.*; node-2: .*ECONNREFUSED/);
  });

  test('when the given nodes belong to two fleets', async () => {
    await caches.open({ nodes: nodes.slice(0, 1) });
    await caches.open({ nodes: nodes.slice(1, 2) });
    const error = await rejection(find(nodes[0]!, nodes[1]!));
    expect(error).toBeInstanceOf(TopologyConflictError);
    expect(error.message).toContain('node-2 belongs to another fleet');
  });

  test('options that are none', async () => {
    const wrong = { nodes: [], namespace: caches.namespace };
    expect(await rejection(discover(wrong))).toMatchObject({ path: 'nodes' });
  });
});

describe('with passwords', () => {
  const secured = useNodes(2, { args: ['--requirepass', 'hunter2'] });
  const login = (url: string, password = 'hunter2') => url.replace('//', `//:${password}@`);

  test('the others are reached with that of the first', async () => {
    const both = secured.map(({ id, url }) => ({ id, url: login(url) }));
    await caches.open({ nodes: both });
    const fleet = await find(both[0]!);
    expect(fleet.nodes.map(({ epoch }) => epoch)).toEqual([1, 1]);
    expect(fleet.options.nodes).toEqual(both.map((node) => ({ ...node, weight: 1 })));
    expect(JSON.stringify(fleet.nodes)).not.toContain('hunter2');
  });

  test('a wrong one is told as what it is, and not shown', async () => {
    const { id, url } = secured[0]!;
    const error = await rejection(find({ id, url: login(url, 'letmein') }));
    expect(error).toMatchObject({ reason: 'configuration' });
    expect(error.message).toContain('WRONGPASS');
    expect(error.message).not.toContain('letmein');
  });
});

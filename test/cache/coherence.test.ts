/** What memory is told by the nodes, between caches that share nothing but real servers. */
import { describe, expect, test } from 'vitest';
import type { RingCache } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { keyOn, useCaches } from './caches.ts';

const nodes = useNodes(2);
const caches = useCaches();
const redis = (...words: string[]) => command(nodes[0]!, ...words);

/** Far beyond any wait here: what vanishes earlier was told. */
const LONG = { ttl: '1h', maxStale: '1m' } as const;

async function pair(): Promise<{ reader: RingCache; writer: RingCache; key: string }> {
  const reader = await caches.open({ nodes, memory: LONG });
  const writer = await caches.open({ nodes, memory: false });
  return { reader, writer, key: keyOn(reader, 'node-1') };
}

/** With a value in the memory of the reader that it has read from the node. */
async function held(): Promise<Awaited<ReturnType<typeof pair>>> {
  const three = await pair();
  const { reader, writer, key } = three;
  await writer.set(key, 'old');
  // The set may be told after the first read of it.
  await eventually(async () => (await reader.get(key)) === reader.peek(key));
  expect(reader.peek(key)).toBe('old');
  return three;
}

const tracked = (cache: RingCache): boolean => cache.stats().nodes['node-1']!.tracked;

/** The clients of the first server that are told of changes. */
async function listeners(): Promise<string[]> {
  const list = await redis('CLIENT', 'LIST');
  return list.split('\n').flatMap((line) => {
    const id = /\bid=(\d+)/.exec(line)?.[1];
    return id !== undefined && /flags=\S*t/.test(line) ? [id] : [];
  });
}

describe('a value in memory vanishes when it is', () => {
  const name = (key: string): string => `${caches.namespace}:v:${key}`;
  test.each<[string, (to: Awaited<ReturnType<typeof pair>>) => Promise<unknown>]>([
    ['set by another process', ({ writer, key }) => writer.set(key, 'new')],
    ['deleted by another process', ({ writer, key }) => writer.delete(key)],
    ['removed by hand', ({ key }) => redis('DEL', name(key))],
    ['expired before its time', ({ key }) => redis('PEXPIRE', name(key), '1')],
    ['flushed with all others', () => redis('FLUSHALL')],
  ])('%s', async (_, act) => {
    const to = await held();
    await act(to);
    await eventually(() => to.reader.peek(to.key) === undefined);
  });
});

test('a value that nobody changes stays in memory beyond maxStale', async () => {
  const reader = await caches.open({ nodes, memory: { ttl: '1h', maxStale: 200 } });
  const writer = await caches.open({ nodes, memory: false });
  const key = keyOn(reader, 'node-1');
  await writer.set(key, 'v');
  await eventually(async () => (await reader.get(key)) === reader.peek(key));
  const reads = reader.stats().nodeHits;
  const until = performance.now() + 1_000;
  while (performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    await eventually(() => reader.peek(key) === 'v');
  }
  expect(reader.stats().nodeHits).toBe(reads);
});

test('what a process wrote itself is in its memory, and vanishes when another changes it', async () => {
  const { reader, writer, key } = await pair();
  await reader.set(key, 'own');
  expect(reader.peek(key)).toBe('own');
  // Its own write has been told by now.
  await writer.set(keyOn(reader, 'node-1', 'other'), 1);
  await reader.get(keyOn(reader, 'node-1', 'other'));
  expect(reader.peek(key)).toBe('own');
  await writer.set(key, 'new');
  await eventually(() => reader.peek(key) === undefined);
  expect(await reader.get(key)).toBe('new');
});

test('what was loaded is in memory, too', async () => {
  const { reader, key } = await pair();
  expect(await reader.getOrSet(key, () => 'loaded')).toBe('loaded');
  await reader.get(keyOn(reader, 'node-1', 'other'));
  expect(reader.peek(key)).toBe('loaded');
});

describe('the connection that tells', () => {
  test('is one for each node and cache, and there when the cache is', async () => {
    const before = (await listeners()).length;
    const { reader } = await pair();
    expect(tracked(reader)).toBe(true);
    expect(await listeners()).toHaveLength(before + 2);
  });

  test('when it is killed is made anew; then nothing from before is believed, and all is told again', async () => {
    const { reader, writer, key } = await held();
    for (const id of await listeners()) await redis('CLIENT', 'KILL', 'ID', id);
    // Nobody is told of this.
    await redis('DEL', `${caches.namespace}:v:${key}`);
    await eventually(() => reader.peek(key) === undefined);
    await eventually(() => tracked(reader));
    await writer.set(key, 'new');
    expect(await reader.get(key)).toBe('new');
    await writer.set(key, 'newer');
    await eventually(() => reader.peek(key) === undefined);
  });

  test('when it hangs is trusted no longer than maxStale', async () => {
    await using proxy = await FaultProxy.start(nodes[0]!.port);
    const seat = { id: 'node-1', url: proxy.url };
    const reader = await caches.open({
      nodes: [seat, nodes[1]!],
      memory: { ttl: '1h', maxStale: 400 },
      node: { timeout: '5s' },
    });
    const writer = await caches.open({ nodes, memory: false });
    const key = keyOn(reader, 'node-1');
    await writer.set(key, 'old');
    // The set may be told after the first read of it.
    await eventually(async () => (await reader.get(key)) === reader.peek(key));
    proxy.set({ kind: 'hold' });
    await writer.set(key, 'new');
    const changedAt = performance.now();
    await eventually(() => reader.peek(key) === undefined);
    expect(performance.now() - changedAt).toBeLessThan(400 + 300);
    proxy.set({ kind: 'none' });
    await eventually(async () => expect(await reader.get(key)).toBe('new'));
  });

  test.each([
    ['the command', ['~*', '&*', '+@all', '-client|tracking']],
    ['the channel', ['~*', 'resetchannels', '+@all']],
  ])('where it is refused (%s): said, and memory lives for maxStale', async (_, rules) => {
    await redis('ACL', 'SETUSER', 'deaf', 'reset', 'on', '>pw', ...rules);
    try {
      const writer = await caches.open({ nodes, memory: false });
      const url = nodes[0]!.url.replace('//', '//deaf:pw@');
      const untracked: { node: string; error: Error }[] = [];
      const reader = await caches.open({
        nodes: [{ id: 'node-1', url }, nodes[1]!],
        memory: { ttl: '1h', maxStale: 300 },
      });
      reader.on('node:untracked', (said) => untracked.push(said));
      expect(tracked(reader)).toBe(false);
      expect(reader.stats().nodes['node-2']!.tracked).toBe(true);
      const key = keyOn(reader, 'node-1');
      await writer.set(key, 'v');
      const readAt = performance.now();
      expect(await reader.get(key)).toBe('v');
      await eventually(() => reader.peek(key) === undefined);
      expect(performance.now() - readAt).toBeLessThan(300 + 200);
      // It is said whenever the connection is made: a listener may have come late.
      const list = await redis('CLIENT', 'LIST');
      const id = /\bid=(\d+) .*user=deaf/.exec(list)?.[1] ?? '';
      for (const line of list.split('\n')) {
        const deaf = /\bid=(\d+) .*user=deaf/.exec(line)?.[1];
        if (deaf !== undefined) await redis('CLIENT', 'KILL', 'ID', deaf);
      }
      expect(id).not.toBe('');
      await eventually(() => untracked.length > 0);
      expect(untracked[0]).toMatchObject({ node: 'node-1' });
      expect(untracked[0]!.error.message).toMatch(/NOPERM|permission/i);
      expect(untracked[0]!.error.message).not.toContain('pw@');
    } finally {
      await redis('ACL', 'DELUSER', 'deaf');
    }
  });
});

describe('who waits for the load of another process', () => {
  /** One process loads, and another has found that it does. */
  async function waiting(load: () => Promise<string>, otherwise: () => string) {
    const [one, two] = [await caches.open({ nodes }), await caches.open({ nodes })];
    const key = keyOn(one, 'node-1');
    const first = one.getOrSet(key, load).catch(() => 'failed');
    await eventually(async () => expect((await one.explain(key)).leased).toBe(true));
    const second = two.getOrSet(key, otherwise);
    const scripts = (): number => two.stats().nodes['node-1']!.scripts;
    await eventually(() => scripts() > 0);
    return { one, two, key, scripts, both: Promise.all([first, second]), second };
  }

  test('asks once, is told when it is over, and has the value', async () => {
    const load = Promise.withResolvers<string>();
    const { two, scripts, both } = await waiting(
      () => load.promise,
      () => 'never',
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(scripts()).toBe(1);
    load.resolve('loaded');
    const overAt = performance.now();
    expect(await both).toEqual(['loaded', 'loaded']);
    expect(performance.now() - overAt).toBeLessThan(200);
    expect(scripts()).toBe(2);
    expect(two.stats()).toMatchObject({ loads: 0, awaited: 1 });
  });

  test.each([
    ['fails', (fail: (error: Error) => void) => fail(new Error('no'))],
    ['is overtaken by a set', undefined],
  ])('goes on when it %s', async (_, end) => {
    const load = Promise.withResolvers<string>();
    const { one, key, both, second } = await waiting(
      () => load.promise,
      () => 'second',
    );
    const overAt = performance.now();
    if (end === undefined) await one.set(key, 'set');
    else end(load.reject);
    expect(await second).toBe(end === undefined ? 'set' : 'second');
    expect(performance.now() - overAt).toBeLessThan(400);
    load.resolve('late');
    await both;
  });

  test('does not lose the news when it comes before it is waited for, nor for ever when it is lost', async () => {
    const load = Promise.withResolvers<string>();
    const { both } = await waiting(
      () => load.promise,
      () => 'never',
    );
    for (const id of await listeners()) await redis('CLIENT', 'KILL', 'ID', id);
    load.resolve('loaded');
    expect(await both).toEqual(['loaded', 'loaded']);
  });
});

test('a change of the ring is heard of at once, by a process that asks nothing', async () => {
  const cache = await caches.open({ nodes });
  const idle = await caches.open({ nodes });
  const at = performance.now();
  await (await cache.removeNode('node-2')).done;
  await eventually(() => idle.topology.epoch === 3);
  expect(performance.now() - at).toBeLessThan(2_000);
  expect(idle.topology.nodes.map(({ id }) => id)).toEqual(['node-1']);
});

/** What all who share locks must agree on, and what a node does that has forgotten what it granted. */
import { describe, expect, test } from 'vitest';
import { createCache, LockUnavailableError, TopologyConflictError } from '../../src/index.ts';
import { timed } from '../cache/caches.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { command, useNodes } from '../support/nodes.ts';
import { caught, heard, namesOn, useLocks } from './lock-room.ts';

const nodes = useNodes(3);
const room = useLocks();
const fork = useFork();

describe('a process that is told otherwise is told so at once', () => {
  test.each<[string, object, string]>([
    ['quorum', { quorum: true }, 'quorum false and maxTtl 60000 ms'],
    ['maxTtl', { maxTtl: '30s' }, 'quorum false and maxTtl 60000 ms'],
    ['the list of nodes', {}, 'node-'],
  ])('by %s', async (what, otherwise, message) => {
    const locks = await room.open({ nodes });
    await Promise.all(
      nodes.map(async ({ id }) => (await locks.acquire((await namesOn(nodes, id))[0]!)).release()),
    );
    const seats = what === 'the list of nodes' ? nodes.slice(0, 2) : nodes;
    const failure = await caught(room.open({ ...otherwise, nodes: seats }));
    expect(failure).toBeInstanceOf(TopologyConflictError);
    expect(failure).toMatchObject({ code: 'RINGCACHE_TOPOLOGY_CONFLICT' });
    expect(String(failure)).toContain(message);
    // And those who were there before go on.
    await (await locks.acquire('l')).release();
  });

  test('a cache with another maxTtl: with its first lock', async () => {
    const locks = await room.open({ nodes });
    await (await locks.acquire('l')).release();
    const { namespace } = room;
    await using cache = await createCache({ nodes, namespace, lock: { maxTtl: '30s' } });
    await expect(cache.locks.acquire('l')).rejects.toThrow(TopologyConflictError);
    await expect(cache.locks.tryAcquire('l')).rejects.toThrow('maxTtl 60000 ms');
    expect(await cache.getOrSet('k', () => 'v')).toBe('v');
  });

  test('not when the namespace is another', async () => {
    const locks = await room.open({ nodes });
    await (await locks.acquire('l')).release();
    const { namespace } = room;
    await using cache = await createCache({
      nodes,
      namespace: `${namespace}x`,
      lock: { maxTtl: '30s' },
    });
    await (await cache.locks.acquire('l')).release();
  });
});

describe('a node that has forgotten what it granted', () => {
  const forgetful: Record<string, () => Promise<unknown>> = {
    'was restarted': () => nodes[0]!.restart(),
    'was emptied': () => command(nodes[0]!, 'FLUSHALL'),
  };

  test.each(Object.entries(forgetful))(
    'because it %s grants nothing until maxTtl has passed, and then again',
    async (_, forget) => {
      const maxTtl = 1_000;
      const locks = await room.open({ nodes, maxTtl });
      const app = await room.openIn(fork, { nodes, maxTtl });
      const quarantined = heard(locks, 'quarantined');
      const [name = '', second = ''] = await namesOn(nodes, 'node-1', 2);
      const [elsewhere = ''] = await namesOn(nodes, 'node-2');
      const lock = await locks.acquire(name, { renew: false });
      await (await locks.acquire(second)).release();
      await forget();
      const forgottenAt = performance.now();
      // Its holder does not know, and relies on it.
      for (const each of [name, second]) {
        const failure = await app.call('tryAcquire', each).catch((error: unknown) => error);
        expect(failure).toMatchObject({ code: 'RINGCACHE_LOCK_UNAVAILABLE' });
      }
      await eventually(async () => {
        const failure = await caught(locks.tryAcquire(second));
        expect(failure).toBeInstanceOf(LockUnavailableError);
        expect((failure as LockUnavailableError).retryAfterMs).toBeGreaterThan(0);
        expect((failure as LockUnavailableError).retryAfterMs).toBeLessThanOrEqual(maxTtl);
        expect(String(failure)).toContain('was restarted or has lost its data');
      });
      await (await locks.acquire(elsewhere)).release();
      const next = await app.call('acquire', name, { waitTimeout: '15s' });
      expect(performance.now() - forgottenAt).toBeGreaterThan(maxTtl - 50);
      expect(lock.held).toBe(false);
      expect(next.fence).toBeGreaterThan(lock.fence);
      expect(quarantined[0]).toMatchObject({ node: 'node-1' });
    },
  );

  // It has never seen this node open; that others are says that locks are in use.
  test('is found out by a process that comes later, too', async () => {
    const locks = await room.open({ nodes, maxTtl: 1_000 });
    const [name = ''] = await namesOn(nodes, 'node-1');
    const lock = await locks.acquire(name, { renew: false });
    await command(nodes[0]!, 'FLUSHALL');
    const later = await room.open({ nodes, maxTtl: 1_000 });
    const next = later.acquire(name, { waitTimeout: '15s' });
    expect((await next).fence).toBeGreaterThan(lock.fence);
    expect(lock.held).toBe(false);
  });

  // With an append-only file it may have lost the last second; a replica that took over, more.
  test('may have: one that comes back with its data, but in another run', async () => {
    const locks = await room.open({ nodes, maxTtl: 1_000 });
    const [name = ''] = await namesOn(nodes, 'node-1');
    await (await locks.acquire(name)).release();
    await command(nodes[0]!, 'SET', room.keys.gate, `open ${'0'.repeat(40)} ring-1000`);
    const failure = await caught(locks.tryAcquire(name));
    expect(failure).toBeInstanceOf(LockUnavailableError);
    expect((failure as LockUnavailableError).retryAfterMs).toBeGreaterThan(0);
    await (await locks.acquire(name, { waitTimeout: '15s' })).release();
  });

  test('has forgotten a holder too, who learns so with the next renewal', async () => {
    const locks = await room.open({ nodes });
    const [name = ''] = await namesOn(nodes, 'node-1');
    const lock = await locks.acquire(name, { renew: { interval: 50 } });
    await nodes[0]!.restart();
    await eventually(() => lock.signal.aborted);
    expect(lock.signal.reason).toMatchObject({ reason: 'taken' });
  });

  test('is outlasted by a wait that is long enough', async () => {
    const locks = await room.open({ nodes, maxTtl: 500 });
    const [name = ''] = await namesOn(nodes, 'node-1');
    await (await locks.acquire(name)).release();
    await nodes[0]!.restart();
    const { value } = await timed(() => locks.acquire(name, { waitTimeout: '15s' }));
    expect(value.held).toBe(true);
  });
});

test('nodes that nobody has used are opened at once, by however many processes', async () => {
  const rooms = await Promise.all(Array.from({ length: 8 }, () => room.open({ nodes })));
  const names = (await Promise.all(nodes.map(({ id }) => namesOn(nodes, id, 3)))).flat();
  const work = rooms.map(async (locks) => {
    for (const name of names) await (await locks.acquire(name)).release();
  });
  const { ms } = await timed(() => Promise.all(work));
  expect(ms).toBeLessThan(5_000);
});

test('so they are when one of them is away at the first start; that one waits for maxTtl', async () => {
  await nodes[2]!.kill();
  const locks = await room.open({ nodes, maxTtl: 700 });
  const names = await Promise.all(nodes.map(async ({ id }) => (await namesOn(nodes, id))[0]!));
  await (await locks.acquire(names[0]!)).release();
  await (await locks.acquire(names[1]!)).release();
  await nodes[2]!.restart();
  await (await locks.acquire(names[2]!, { waitTimeout: '15s' })).release();
});

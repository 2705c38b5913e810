/**
 * What the founding documents ask of a lock (FOUNDING.md, D1), each of it with
 * real servers and, where it is about several instances, real processes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { LockTimeoutError, LockUnavailableError } from '../../src/index.ts';
import { timed } from '../cache/caches.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { command, useNodes } from '../support/nodes.ts';
import type { Turn } from './lock-app.ts';
import { caught, namesOn, useLocks } from './lock-room.ts';

const nodes = useNodes(3);
const room = useLocks();
const fork = useFork();

/** No two had it at once, and later ones have larger numbers. */
function expectExclusive(turns: readonly Turn[]): void {
  const inOrder = [...turns].sort((a, b) => a.fence - b.fence);
  for (const [i, turn] of inOrder.entries()) {
    const before = inOrder[i - 1];
    if (before === undefined) continue;
    expect(turn.fence).toBeGreaterThan(before.fence);
    expect(turn.from).toBeGreaterThanOrEqual(before.to);
  }
}

describe('its five tests', () => {
  test('concurrency in one instance: one of many buyers gets the last piece, one at a time', async () => {
    const locks = await room.open({ nodes });
    let stock = 1;
    let inside = 0;
    const buy = () =>
      locks.using('sku:1', { waitTimeout: '15s' }, async () => {
        inside += 1;
        expect(inside).toBe(1);
        // Read, wait, write: without the lock all of them would see the one piece.
        const seen = stock;
        await sleep(1);
        if (seen > 0) stock = seen - 1;
        inside -= 1;
        return seen > 0;
      });
    const bought = await Promise.all(Array.from({ length: 100 }, buy));
    expect(bought.filter(Boolean)).toHaveLength(1);
    expect(stock).toBe(0);
  });

  test('concurrency over several instances: their turns do not overlap', async () => {
    const apps = await Promise.all([1, 2, 3].map(() => room.openIn(fork, { nodes })));
    const plan = { turns: 5, holdMs: 1 };
    const work = apps.flatMap((app) => {
      return Array.from({ length: 5 }, () => app.call('takeTurns', 'sku:1', plan));
    });
    const turns = (await Promise.all(work)).flat();
    expect(turns).toHaveLength(75);
    expectExclusive(turns);
  });

  test('lock timeout: who waits longer than the holder lets go of it is told, in time', async () => {
    const app = await room.openIn(fork, { nodes });
    const locks = await room.open({ nodes });
    await app.call('acquire', 'l');
    const { ms, value } = await timed(() => caught(locks.acquire('l', { waitTimeout: 200 })));
    expect(value).toBeInstanceOf(LockTimeoutError);
    expect(ms).toBeGreaterThan(195);
    expect(ms).toBeLessThan(1_000);
    expect((value as LockTimeoutError).waitedMs).toBeGreaterThanOrEqual(195);
    expect((value as LockTimeoutError).retryAfterMs).toBeGreaterThan(5_000);
  });

  test('crash of the holder: its lock is free after the ttl', async () => {
    const app = await room.openIn(fork, { nodes });
    const locks = await room.open({ nodes });
    const held = await app.call('acquire', 'l', { ttl: 1_000 });
    await app.kill();
    expect(await locks.tryAcquire('l')).toBeNull();
    const { ms, value } = await timed(() => locks.acquire('l'));
    expect(value.fence).toBeGreaterThan(held.fence);
    expect(ms).toBeLessThan(1_000 + 300);
  });

  test('renewal outlives the ttl: a long job keeps its lock until it is done', async () => {
    const app = await room.openIn(fork, { nodes });
    const locks = await room.open({ nodes });
    const job = app.call('takeTurns', 'l', { turns: 1, holdMs: 2_000, options: { ttl: 800 } });
    await eventually(async () => expect((await locks.inspect('l')).held).toBe(true));
    const { value, ms } = await timed(() => locks.acquire('l'));
    const [turn] = await job;
    expect(ms).toBeGreaterThan(1_000);
    expect(value.fence).toBeGreaterThan(turn!.fence);
    expect(await app.call('events')).toEqual([]);
  });
});

describe('its four demands', () => {
  test('mutual exclusion: of many processes that try at once one has it', async () => {
    const apps = await Promise.all([1, 2, 3].map(() => room.openIn(fork, { nodes })));
    for (let round = 0; round < 10; round += 1) {
      const tries = apps.flatMap((app) => [1, 2].map(() => app.call('tryAcquire', `l${round}`)));
      const had = (await Promise.all(tries)).filter((lock) => lock !== null);
      expect(had).toHaveLength(1);
    }
  });

  test('A cannot release what B holds, nor lengthen it', async () => {
    const [a, b] = await Promise.all([1, 2].map(() => room.openIn(fork, { nodes })));
    const locks = await room.open({ nodes });
    const late = await a!.call('acquire', 'l', { ttl: 400 });
    a!.signal('SIGSTOP');
    const held = await b!.call('acquire', 'l');
    a!.signal('SIGCONT');
    expect(await a!.call('release', late.id)).toMatchObject({ confirmed: false });
    await expect(a!.call('extend', late.id, 50_000)).rejects.toMatchObject({
      code: 'RINGCACHE_LOCK_LOST',
    });
    const status = await locks.inspect('l');
    expect(status).toMatchObject({ held: true, fence: held.fence });
    expect(status.remaining).toBeLessThanOrEqual(10_000);
    expect(await b!.call('lock', held.id)).toMatchObject({ held: true });
  });

  test('with one node down a quorum goes on for all names, and the ring for those of the others', async () => {
    const [quorum, ring] = [
      await room.open({ nodes, quorum: true, namespace: `${room.namespace}q` }),
      await room.open({ nodes }),
    ];
    const names = await Promise.all(nodes.map(async ({ id }) => (await namesOn(nodes, id))[0]!));
    for (const name of names) {
      await (await quorum.acquire(name)).release();
      await (await ring.acquire(name)).release();
    }
    await nodes[0]!.kill();
    for (const [i, name] of names.entries()) {
      await (await quorum.acquire(name, { waitTimeout: '15s' })).release();
      const outcome = await caught(ring.acquire(name, { waitTimeout: 200 }));
      // Fail closed: nobody takes the place of a node that may have granted it.
      if (i === 0) expect(outcome).toBeInstanceOf(LockUnavailableError);
      else expect(outcome).toMatchObject({ held: true });
    }
  });

  test('a lock frees itself: at the node it has an end from its first moment on', async () => {
    const app = await room.openIn(fork, { nodes: nodes.slice(0, 1) });
    await app.call('acquire', 'l', { ttl: 1_000 });
    await app.kill();
    const left = await command(nodes[0]!, 'PTTL', room.keys.lock('l'));
    expect(Number(left.slice(1))).toBeGreaterThan(0);
    expect(Number(left.slice(1))).toBeLessThanOrEqual(1_000);
    await eventually(async () => {
      expect(await command(nodes[0]!, 'EXISTS', room.keys.lock('l'))).toBe(':0\r\n');
    });
  });
});

/** What is left behind: nothing, by close(), by those who gave up, or by a process that ends. */
import { expect, test } from 'vitest';
import { ClosedError } from '../../src/index.ts';
import { timed } from '../cache/caches.ts';
import { eventually } from '../support/eventually.ts';
import { type App, useFork } from '../support/fork.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import type { LockApp } from './lock-app.ts';
import { caught, heard, queueOf, useLocks } from './lock-room.ts';

const nodes = useNodes(1);
const room = useLocks();
const fork = useFork();

const inQueue = (name: string) => queueOf(nodes[0]!, room.keys, name);

/** It ends by itself: no timer and no socket keeps it. */
async function expectEnd(app: App<LockApp>, work: 'close' | 'none'): Promise<void> {
  await app.call('leave', work);
  const { ms, value } = await timed(() => app.exited);
  expect(value).toBe(0);
  expect(ms).toBeLessThan(3_000);
}

test('closing rejects those who wait with ClosedError, and loses what is held', async () => {
  const locks = await room.open({ nodes });
  const other = await room.open({ nodes });
  const lost = heard(locks, 'lost');
  const held = await locks.acquire('held', { ttl: '20s' });
  const busy = await other.acquire('l');
  const waits = Array.from({ length: 10 }, () => {
    return caught(locks.acquire('l', { waitTimeout: Number.POSITIVE_INFINITY }));
  });
  await eventually(async () => expect(await inQueue('l')).toBe(1));
  const { ms } = await timed(() => Promise.all([locks.close(), locks.close()]));
  expect(ms).toBeLessThan(1_000);
  for (const wait of waits) {
    expect(await wait).toBeInstanceOf(ClosedError);
    expect(await wait).toMatchObject({ code: 'RINGCACHE_CLOSED' });
  }
  expect(held.signal.reason).toMatchObject({ reason: 'closed' });
  expect(lost).toMatchObject([{ lock: 'held', reason: 'closed' }]);
  expect(await held.release()).toBe(false);
  await expect(locks.acquire('l')).rejects.toThrow(ClosedError);
  // The work under it may go on: it is not given to another before its time is over.
  expect(await other.tryAcquire('held')).toBeNull();
  expect((await other.inspect('held')).remaining).toBeGreaterThan(10_000);
  await busy.release();
  await (await other.acquire('l')).release();
});

test('await using closes', async () => {
  let inside: Awaited<ReturnType<typeof room.open>>;
  {
    await using locks = await room.open({ nodes });
    await locks.acquire('l');
    inside = locks;
  }
  await expect(inside.tryAcquire('l')).rejects.toThrow(ClosedError);
});

test('a process ends by itself after close(), with a lock held and callers waiting', async () => {
  const app = await room.openIn(fork, { nodes });
  await app.call('acquire', 'l', { waitTimeout: '30s' });
  const waits = [1, 2].map(() => caught(app.call('acquire', 'l', { waitTimeout: '30s' })));
  await eventually(async () => expect(await inQueue('l')).toBe(1));
  await expectEnd(app, 'close');
  await Promise.all(waits);
});

test.each(['dead', 'silent'])('and when its node is %s', async (how) => {
  await using proxy = await FaultProxy.start(nodes[0]!.port);
  const app = await room.openIn(fork, { nodes: [{ id: 'node-1', url: proxy.url }] });
  await app.call('acquire', 'l');
  if (how === 'dead') await proxy.refuse();
  else proxy.set({ kind: 'blackhole' });
  const wait = caught(app.call('acquire', 'other', { waitTimeout: '30s' }));
  await expectEnd(app, 'close');
  await wait;
});

test('ten thousand waits that end in time-outs leave no place, no timer and no more than one channel', async () => {
  const locks = await room.open({ nodes });
  const other = await room.open({ nodes });
  const lock = await other.acquire('l', { ttl: '60s' });
  const failures: Promise<unknown>[] = [];
  // Some give up in line, some at the head, some while they are asking.
  for (let i = 0; i < 10_000; i += 1) {
    const name = i % 2 === 0 ? 'l' : `l${i % 500}`;
    if (name !== 'l' && i < 500) await other.acquire(name, { ttl: '60s' });
    failures.push(caught(locks.acquire(name, { waitTimeout: 1 + (i % 50) })));
    if (i % 500 === 0) await Promise.all(failures.splice(0));
  }
  await Promise.all(failures);
  const { waiting, acquired, timeouts, unavailable } = locks.stats();
  expect({ waiting, acquired }).toEqual({ waiting: 0, acquired: 0 });
  expect(timeouts + unavailable).toBe(10_000);
  await eventually(async () => {
    expect(await command(nodes[0]!, 'KEYS', room.keys.queue('*'))).toBe('*0\r\n');
  });
  const channels = await command(nodes[0]!, 'PUBSUB', 'CHANNELS', `${room.keys.channel}*`);
  expect(channels).toMatch(/^\*[01]\r/);
  await lock.release();
  const { ms } = await timed(async () => (await locks.acquire('l')).release());
  expect(ms).toBeLessThan(400);
});

test('fifty locks opened and closed, one after the other, leave no connection and no listener', async () => {
  const listeners = () => process.eventNames().map((name) => process.listenerCount(name));
  const before = listeners();
  for (let i = 0; i < 50; i += 1) {
    await using locks = await room.open({ nodes });
    await using lock = await locks.acquire('l');
    lock.assertHeld();
  }
  expect(listeners()).toEqual(before);
  await eventually(async () => {
    expect(await command(nodes[0]!, 'INFO', 'clients')).toMatch(/connected_clients:1\r/);
  });
});

test('a hundred callers may share a signal, and an abort ends all their waits at once', async () => {
  const warnings: unknown[] = [];
  const note = (warning: unknown) => warnings.push(warning);
  process.on('warning', note);
  const locks = await room.open({ nodes });
  const lock = await locks.acquire('l');
  const controller = new AbortController();
  const { signal } = controller;
  const options = { signal, waitTimeout: Number.POSITIVE_INFINITY };
  const waits = Array.from({ length: 100 }, () => caught(locks.acquire('l', options)));
  await eventually(async () => expect(await inQueue('l')).toBe(1));
  const reason = new Error('the client has hung up');
  controller.abort(reason);
  for (const wait of waits) expect(await wait).toBe(reason);
  await eventually(async () => expect(await inQueue('l')).toBe(0));
  expect(lock.held).toBe(true);
  expect(locks.stats()).toMatchObject({ waiting: 0, held: 1 });
  process.off('warning', note);
  expect(warnings).toEqual([]);
});

test('an abort without a reason is an AbortError, as everywhere', async () => {
  const locks = await room.open({ nodes });
  await locks.acquire('l');
  const controller = new AbortController();
  const wait = caught(locks.acquire('l', { signal: controller.signal }));
  await eventually(async () => expect(await inQueue('l')).toBe(1));
  controller.abort();
  expect(await wait).toMatchObject({ name: 'AbortError' });
});

test('an abort has no effect on a lock that is held', async () => {
  const locks = await room.open({ nodes });
  const controller = new AbortController();
  const lock = await locks.acquire('l', { signal: controller.signal });
  controller.abort();
  expect(lock.held).toBe(true);
  expect(lock.signal.aborted).toBe(false);
  expect(await lock.extend()).toBeGreaterThan(5_000);
  expect(await lock.release()).toBe(true);
});

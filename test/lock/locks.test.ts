import { expect, test } from 'vitest';
import { InvalidKeyError, type Lock, LockLostError, LockTimeoutError } from '../../src/index.ts';
import { timed } from '../cache/caches.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { caught, heard, namesOn, queueOf, useLocks } from './lock-room.ts';

const nodes = useNodes(2);
const room = useLocks();

/** Ends a lock behind its holder's back, wherever it is. */
async function deleteLock(name: string): Promise<void> {
  await Promise.all(nodes.map((node) => command(node, 'DEL', room.keys.lock(name))));
}

test('acquire excludes, in one process and from another instance; release lets the next in', async () => {
  const [mine, other] = await Promise.all([room.open({ nodes }), room.open({ nodes })]);
  const lock = await mine.acquire('l');
  expect(lock).toMatchObject({ name: 'l', held: true });
  expect(lock.remaining()).toBeGreaterThan(8_000);
  lock.assertHeld();
  for (const locks of [mine, other]) {
    const failure = await caught(locks.acquire('l', { waitTimeout: 30 }));
    expect(failure).toBeInstanceOf(LockTimeoutError);
    expect(failure).toMatchObject({ lock: 'l', code: 'RINGCACHE_LOCK_TIMEOUT' });
    expect(await locks.tryAcquire('l')).toBeNull();
  }
  expect(await lock.release()).toBe(true);
  const next = await other.acquire('l');
  expect(next.fence).toBeGreaterThan(lock.fence);
  expect(next.token).not.toBe(lock.token);
});

test('fences grow with every grant, also in the same millisecond, and are whole and safe', async () => {
  const locks = await room.open({ nodes });
  let last = 0;
  for (let i = 0; i < 100; i += 1) {
    const lock = await locks.acquire('l');
    expect(lock.fence).toBeGreaterThan(last);
    expect(Number.isSafeInteger(lock.fence)).toBe(true);
    last = lock.fence;
    await lock.release();
  }
});

test('fences grow on though the node has forgotten the last one', async () => {
  const locks = await room.open({ nodes });
  const first = await locks.acquire('l');
  await first.release();
  await Promise.all(nodes.map((node) => command(node, 'DEL', room.keys.counter('l'))));
  const second = await locks.acquire('l');
  expect(second.fence).toBeGreaterThan(first.fence);
});

test('release never ends the lock of the next holder', async () => {
  const [first, second] = await Promise.all([room.open({ nodes }), room.open({ nodes })]);
  const late = await first.acquire('l', { renew: false });
  await deleteLock('l');
  const lock = await second.acquire('l');
  expect(await late.release()).toBe(false);
  expect(await first.inspect('l')).toMatchObject({ held: true, fence: lock.fence });
  expect(await lock.extend()).toBeGreaterThan(8_000);
});

test('a lock that was deleted is lost with the next renewal, and told to all who listen', async () => {
  const locks = await room.open({ nodes });
  const lost = heard(locks, 'lost');
  const lock = await locks.acquire('l', { ttl: 3_000, renew: { interval: 50 } });
  const { signal } = lock;
  await deleteLock('l');
  await eventually(() => signal.aborted);
  expect(signal.reason).toBeInstanceOf(LockLostError);
  expect(signal.reason).toMatchObject({ reason: 'taken', lock: 'l', fence: lock.fence });
  expect(() => lock.assertHeld()).toThrow(LockLostError);
  await expect(lock.extend()).rejects.toThrow(LockLostError);
  expect(lost).toMatchObject([{ lock: 'l', fence: lock.fence, reason: 'taken' }]);
  expect(locks.stats()).toMatchObject({ lost: 1, held: 0 });
});

test('a lock outlives its ttl while it is renewed, and not when it is not', async () => {
  const locks = await room.open({ nodes });
  const renewed = await locks.acquire('renewed', { ttl: 1_000, renew: { interval: 150 } });
  const left = await locks.acquire('left', { ttl: 1_000, renew: false });
  await eventually(() => left.signal.aborted);
  expect(left.signal.reason).toMatchObject({ reason: 'expired' });
  await locks.acquire('left');
  await eventually(() => locks.stats().renewals >= 4);
  expect(renewed.held).toBe(true);
  expect(await locks.tryAcquire('renewed')).toBeNull();
});

test('extend sets the time at the node, longer or shorter', async () => {
  const locks = await room.open({ nodes });
  const lock = await locks.acquire('l', { ttl: '5s' });
  expect(await lock.extend('40s')).toBeGreaterThan(35_000);
  expect((await locks.inspect('l')).remaining).toBeGreaterThan(35_000);
  expect(await lock.extend(1_000)).toBeLessThan(1_000);
  expect((await locks.inspect('l')).remaining).toBeLessThanOrEqual(1_000);
});

test('using runs the work under the lock, hands on what it returns, and releases', async () => {
  const locks = await room.open({ nodes });
  const value = await locks.using('l', {}, async (lock) => {
    lock.assertHeld();
    expect(await locks.tryAcquire('l')).toBeNull();
    return 'value';
  });
  expect(value).toBe('value');
  expect(await locks.inspect('l')).toMatchObject({ held: false, remaining: 0 });
});

test('using hands on the error of its work unchanged, and releases', async () => {
  const locks = await room.open({ nodes });
  const error = Object.assign(new Error('mine'), { detail: 1 });
  const rejects = () => Promise.reject(error);
  const throws = () => {
    throw error;
  };
  for (const work of [rejects, throws]) {
    expect(await caught(locks.using('l', {}, work))).toBe(error);
    expect(await caught(locks.tryUsing('l', {}, work))).toBe(error);
  }
  expect(locks.stats()).toMatchObject({ acquired: 4, released: 4, held: 0 });
});

test('using rejects when the lock was lost under the work, with what that returned', async () => {
  const locks = await room.open({ nodes });
  const work = async (lock: Lock) => {
    await deleteLock('l');
    await eventually(() => lock.signal.aborted);
    return 'done all the same';
  };
  const options = { renew: { interval: 20 } };
  for (const method of ['using', 'tryUsing'] as const) {
    const failure = await caught(locks[method]('l', options, work));
    expect(failure).toBeInstanceOf(LockLostError);
    expect(failure).toMatchObject({ value: 'done all the same', reason: 'taken' });
  }
});

test('using: the error of work that fails because the lock was lost is the one that is seen', async () => {
  const locks = await room.open({ nodes });
  const failure = caught(
    locks.using('l', { renew: { interval: 20 } }, async ({ signal }) => {
      await deleteLock('l');
      await eventually(() => signal.aborted);
      throw new Error('gave up');
    }),
  );
  expect(await failure).toMatchObject({ message: 'gave up' });
});

test('tryUsing answers at once when another has the lock, and when to come again', async () => {
  const locks = await room.open({ nodes });
  const lock = await locks.acquire('l', { ttl: '5s' });
  let ran = 0;
  const work = async () => {
    ran += 1;
    return 'value';
  };
  const busy = await locks.tryUsing('l', {}, work);
  expect(busy).toMatchObject({ ran: false });
  if (!busy.ran) {
    expect(busy.retryAfter).toBeGreaterThan(3_000);
    expect(busy.retryAfter).toBeLessThanOrEqual(5_000);
  }
  expect(ran).toBe(0);
  await lock.release();
  expect(await locks.tryUsing('l', {}, work)).toEqual({ ran: true, value: 'value' });
});

test('await using releases at the end of the block, also when it is left by an error', async () => {
  const locks = await room.open({ nodes });
  {
    await using lock = await locks.acquire('l');
    lock.assertHeld();
  }
  const throwing = async () => {
    await using lock = await locks.acquire('l');
    lock.assertHeld();
    throw new Error('out');
  };
  await expect(throwing()).rejects.toThrow('out');
  expect((await locks.inspect('l')).held).toBe(false);
});

test('await using takes the null of tryAcquire', async () => {
  const locks = await room.open({ nodes });
  const once = async () => {
    await using lock = await locks.tryAcquire('l');
    return lock === null ? 'skipped' : await inner();
  };
  const inner = async () => {
    await using lock = await locks.tryAcquire('l');
    return lock === null ? 'ran, and skipped inside' : 'both';
  };
  expect(await once()).toBe('ran, and skipped inside');
  expect((await locks.inspect('l')).held).toBe(false);
});

test('inspect tells who holds it for how long, how many wait, and where', async () => {
  const locks = await room.open({ nodes });
  const [name = ''] = await namesOn(nodes, 'node-2');
  const nobody = { held: false, remaining: 0, fence: 0, waiters: 0, node: 'node-2' };
  expect(await locks.inspect(name)).toEqual(nobody);
  const lock = await locks.acquire(name);
  const waiting = locks.acquire(name);
  await eventually(async () => expect((await locks.inspect(name)).waiters).toBe(1));
  const status = await locks.inspect(name);
  expect(status).toMatchObject({ held: true, fence: lock.fence, waiters: 1 });
  expect(status.remaining).toBeGreaterThan(5_000);
  await lock.release();
  await (await waiting).release();
  expect(await locks.inspect(name)).toMatchObject({ held: false, waiters: 0 });
});

test('a lock that is kept by minHold is busy until then', async () => {
  const locks = await room.open({ nodes });
  const lock = await locks.acquire('l', { minHold: 400 });
  expect(await lock.release()).toBe(true);
  expect(lock.held).toBe(false);
  expect(await locks.tryAcquire('l')).toBeNull();
  const { value } = await timed(() => locks.acquire('l'));
  expect(value.fence).toBeGreaterThan(lock.fence);
});

test('minHold begins with the lock, not with its release', async () => {
  const locks = await room.open({ nodes });
  const lock = await locks.acquire('l', { minHold: 50 });
  await eventually(() => lock.remaining() < 9_898 - 60);
  await lock.release();
  expect(await locks.tryAcquire('l')).not.toBeNull();
});

test('stats and events count what happened', async () => {
  const locks = await room.open({ nodes });
  const [acquired, released] = [heard(locks, 'acquired'), heard(locks, 'released')];
  const lock = await locks.acquire('a');
  expect(locks.stats()).toMatchObject({ held: 1, acquired: 1, released: 0 });
  await locks.tryAcquire('a');
  await caught(locks.acquire('a', { waitTimeout: 20 }));
  await lock.extend();
  await lock.release();
  expect(locks.stats()).toMatchObject({
    acquired: 1,
    busy: 1,
    timeouts: 1,
    unavailable: 0,
    renewals: 1,
    released: 1,
    lost: 0,
    held: 0,
    waiting: 0,
    waits: { count: 1 },
    holds: { count: 1 },
  });
  expect(acquired).toMatchObject([{ lock: 'a', fence: lock.fence }]);
  expect(released).toMatchObject([{ lock: 'a', fence: lock.fence, confirmed: true }]);
});

test('listeners come and go', async () => {
  const locks = await room.open({ nodes });
  let calls = 0;
  const listener = () => {
    calls += 1;
  };
  expect(locks.on('released', listener)).toBe(locks);
  locks.once('released', listener);
  await locks.using('l', {}, async () => undefined);
  expect(calls).toBe(2);
  locks.off('released', listener);
  await locks.using('l', {}, async () => undefined);
  expect(calls).toBe(2);
});

test('a name may be whatever a key may be', async () => {
  const locks = await room.open({ nodes });
  const names = [' ', 'a b', 'a\nb', 'ü€😀', '{tag}:x', '*', '%d', 'a'.repeat(1_024), '\0'];
  const held = await Promise.all(names.map((name) => locks.acquire(name)));
  for (const [i, name] of names.entries()) {
    const waiting = locks.acquire(name);
    await eventually(async () => expect((await locks.inspect(name)).waiters).toBe(1));
    await held[i]!.release();
    await (await waiting).release();
  }
  await expect(locks.acquire('')).rejects.toThrow(InvalidKeyError);
});

test('names with one tag are on one node', async () => {
  const locks = await room.open({ nodes });
  const names = Array.from({ length: 20 }, (_, i) => `{order:7}:${i}`);
  const places = await Promise.all(names.map(async (name) => (await locks.inspect(name)).node));
  expect(new Set(places).size).toBe(1);
});

test('a thousand names at once are a thousand locks', async () => {
  const locks = await room.open({ nodes });
  const names = Array.from({ length: 1_000 }, (_, i) => `n${i}`);
  const held = await Promise.all(names.map((name) => locks.acquire(name)));
  expect(new Set(held.map(({ token }) => token)).size).toBe(1_000);
  expect(locks.stats().held).toBe(1_000);
  const released = await Promise.all(held.map((lock) => lock.release()));
  expect(released.every(Boolean)).toBe(true);
  for (const node of nodes) expect(await queueOf(node, room.keys, 'n1')).toBe(0);
});

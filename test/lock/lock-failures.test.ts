/** Locks fail closed, in time, for the share of the node that is away, and go on when it is back. */
import { describe, expect, test } from 'vitest';
import { LockUnavailableError, NodeUnavailableError } from '../../src/index.ts';
import { timed } from '../cache/caches.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { caught, heard, namesOn, queueOf, useLocks } from './lock-room.ts';

const nodes = useNodes(2);
const room = useLocks();
const fork = useFork();

/** node-1 behind a proxy, node-2 as it is. */
async function behindProxy() {
  const proxy = await FaultProxy.start(nodes[0]!.port);
  const [name = ''] = await namesOn(nodes, 'node-1');
  const [other = ''] = await namesOn(nodes, 'node-2');
  const seats = [{ id: 'node-1', url: proxy.url }, nodes[1]!];
  return { proxy, seats, name, other, [Symbol.asyncDispose]: () => proxy.close() };
}

const WAYS: Record<string, (proxy: FaultProxy) => unknown> = {
  killed: () => nodes[0]!.kill(),
  stopped: () => nodes[0]!.pause(),
  'behind a black hole': (proxy) => proxy.set({ kind: 'blackhole' }),
  'losing its answers': (proxy) => proxy.set({ kind: 'drop' }),
  'refusing connections': (proxy) => proxy.refuse(),
};

/** How long it takes to fail, at best of three: what else runs on the machine only adds to it. */
async function quickest(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 3; i += 1) {
    const { ms, value } = await timed(() => caught(work()));
    expect(value).toBeInstanceOf(LockUnavailableError);
    expect(value).toMatchObject({ node: 'node-1', code: 'RINGCACHE_LOCK_UNAVAILABLE' });
    times.push(ms);
  }
  return Math.min(...times);
}

describe.each(Object.entries(WAYS))('a node that is %s', (_, fail) => {
  test('makes its share unavailable, within waitTimeout, and no other', async () => {
    await using around = await behindProxy();
    const { proxy, seats, name, other } = around;
    // The default budgets: how soon it is found out is what this is about.
    const locks = await room.open({ nodes: seats, node: {} });
    await (await locks.acquire(name)).release();
    await fail(proxy);
    for (const waitTimeout of [0, 150]) {
      const ms = await quickest(() => locks.acquire(name, { waitTimeout }));
      // One try has the budget of its node.
      expect(ms).toBeLessThan(Math.max(waitTimeout, 100) + 50);
    }
    for (const work of [() => locks.tryAcquire(name), () => locks.inspect(name)]) {
      expect(await quickest(work)).toBeLessThan(100 + 50);
    }
    await (await locks.acquire(other)).release();
    expect(locks.stats()).toMatchObject({ acquired: 2, timeouts: 0, held: 0 });
  });

  test('takes the lock with it at the end of validity, and whoever holds one is told', async () => {
    await using around = await behindProxy();
    const { proxy, seats, name, other } = around;
    const locks = await room.open({ nodes: seats, node: {} });
    const lost = heard(locks, 'lost');
    const [lock, kept] = await Promise.all([
      locks.acquire(name, { ttl: 700 }),
      locks.acquire(other, { ttl: 5_000 }),
    ]);
    const { signal } = lock;
    await fail(proxy);
    let late = Number.NaN;
    let over = 0;
    signal.addEventListener('abort', () => {
      late = performance.now() - over;
    });
    over = performance.now() + lock.remaining();
    await eventually(() => signal.aborted);
    // The timer's own delay, on a machine with other work.
    expect(late).toBeLessThan(250);
    expect(signal.reason).toMatchObject({ reason: 'unreachable' });
    expect(lost).toMatchObject([{ lock: name, reason: 'unreachable' }]);
    expect(await lock.release()).toBe(false);
    expect(kept.held).toBe(true);
  });
});

test('the error says which node, and why, and keeps the cause', async () => {
  const [name = ''] = await namesOn(nodes, 'node-1');
  const locks = await room.open({ nodes });
  await nodes[0]!.kill();
  const failure = await caught(locks.acquire(name, { waitTimeout: 100 }));
  expect(failure).toMatchObject({ code: 'RINGCACHE_LOCK_UNAVAILABLE', retryAfterMs: undefined });
  expect((failure as Error).cause).toBeInstanceOf(NodeUnavailableError);
  expect(String(failure)).toContain('node node-1 is unavailable');
});

test('a node that was away from the start grants as soon as it is there', async () => {
  await using around = await behindProxy();
  const { proxy, seats, name } = around;
  await proxy.refuse();
  const locks = await room.open({ nodes: seats });
  const acquired = locks.acquire(name, { waitTimeout: '15s' });
  expect(await caught(locks.tryAcquire(name))).toBeInstanceOf(LockUnavailableError);
  await proxy.accept();
  expect((await acquired).held).toBe(true);
});

test('a renewal that failed for a while is made up for when the node is back in time', async () => {
  await using around = await behindProxy();
  const { proxy, seats, name } = around;
  const locks = await room.open({ nodes: seats });
  const lock = await locks.acquire(name, { ttl: '6s', renew: { interval: 100 } });
  await proxy.refuse();
  await eventually(() => lock.remaining() < 5_000);
  const failure = await caught(lock.extend());
  expect(failure).toBeInstanceOf(LockUnavailableError);
  expect(lock.held).toBe(true);
  await proxy.accept();
  await eventually(() => expect(lock.remaining()).toBeGreaterThan(5_500));
  expect(await lock.release()).toBe(true);
});

test('a release that is not answered is made up for when the node is back', async () => {
  await using around = await behindProxy();
  const { proxy, seats, name } = around;
  const locks = await room.open({ nodes: seats, node: {} });
  const released = heard(locks, 'released');
  const lock = await locks.acquire(name, { ttl: '30s' });
  proxy.set({ kind: 'blackhole' });
  expect(await lock.release()).toBe(false);
  expect(released).toMatchObject([{ confirmed: false }]);
  const locksToo = await room.open({ nodes });
  expect(await locksToo.tryAcquire(name)).toBeNull();
  proxy.set({ kind: 'none' });
  // Long before its ttl is over.
  const next = await locksToo.acquire(name, { waitTimeout: '15s', retryDelay: 50 });
  expect(next.held).toBe(true);
});

// Its answer was lost, so the next try finds the lock with the token of this one.
test('a grant whose answer was lost is not in the way of the same caller', async () => {
  await using around = await behindProxy();
  const { proxy, seats, name } = around;
  const locks = await room.open({ nodes: seats, node: { timeout: 200, connectTimeout: '1s' } });
  await (await locks.acquire(name)).release();
  proxy.set({ kind: 'drop' });
  const acquired = locks.acquire(name, { ttl: '30s', waitTimeout: '15s' });
  await eventually(async () => {
    const held = await command(nodes[0]!, 'EXISTS', room.keys.lock(name));
    expect(held).toBe(':1\r\n');
  });
  proxy.set({ kind: 'none' });
  expect((await acquired).held).toBe(true);
});

test('a grant that nobody waits for any more is given back', async () => {
  await using around = await behindProxy();
  const { proxy, seats, name } = around;
  const locks = await room.open({ nodes: seats });
  await (await locks.acquire(name)).release();
  proxy.set({ kind: 'hold' });
  const failure = caught(locks.acquire(name, { ttl: '30s', waitTimeout: 100 }));
  await eventually(async () =>
    expect(await command(nodes[0]!, 'EXISTS', room.keys.lock(name))).toBe(':1\r\n'),
  );
  expect(await failure).toBeInstanceOf(LockUnavailableError);
  proxy.set({ kind: 'none' });
  await eventually(async () =>
    expect(await command(nodes[0]!, 'EXISTS', room.keys.lock(name))).toBe(':0\r\n'),
  );
});

test.each(['normal', 'pubsub'])(
  'waiters go on when the server cuts all %s connections',
  async (type) => {
    const locks = await room.open({ nodes: nodes.slice(0, 1) });
    const other = await room.open({ nodes: nodes.slice(0, 1) });
    const lock = await locks.acquire('l');
    const waits = ['l', 'l'].map((name) => other.acquire(name, { waitTimeout: '15s' }));
    await eventually(async () => expect(await queueOf(nodes[0]!, room.keys, 'l')).toBe(1));
    await command(nodes[0]!, 'CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
    // Not confirmed when its own connection is cut just then; made up for in any case.
    await lock.release();
    for (const wait of waits) await (await wait).release();
  },
);

test('a script that the server has forgotten is sent again', async () => {
  const locks = await room.open({ nodes: nodes.slice(0, 1) });
  const lock = await locks.acquire('l');
  const next = locks.acquire('l');
  await eventually(async () => expect(await queueOf(nodes[0]!, room.keys, 'l')).toBe(1));
  await command(nodes[0]!, 'SCRIPT', 'FLUSH');
  expect(await lock.extend()).toBeGreaterThan(5_000);
  await command(nodes[0]!, 'SCRIPT', 'FLUSH');
  expect(await lock.release()).toBe(true);
  await command(nodes[0]!, 'SCRIPT', 'FLUSH');
  await (await next).release();
});

describe('a full node', () => {
  const full = async (work: () => Promise<void>) => {
    try {
      await work();
    } finally {
      await command(nodes[0]!, 'CONFIG', 'SET', 'maxmemory', '0');
      await command(nodes[0]!, 'CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    }
  };

  test('with noeviction grants nothing, and lets what is held be renewed and released', async () => {
    const locks = await room.open({ nodes: nodes.slice(0, 1) });
    const lock = await locks.acquire('held');
    await full(async () => {
      await command(nodes[0]!, 'CONFIG', 'SET', 'maxmemory', '1');
      const failure = await caught(locks.acquire('l', { waitTimeout: 50 }));
      expect(failure).toBeInstanceOf(LockUnavailableError);
      expect(await lock.extend()).toBeGreaterThan(5_000);
      expect(await lock.release()).toBe(true);
    });
    await (await locks.acquire('l', { waitTimeout: '10s' })).release();
  });

  test('that may evict locks is told to those who listen', async () => {
    await full(async () => {
      await command(nodes[0]!, 'CONFIG', 'SET', 'maxmemory', '100mb');
      await command(nodes[0]!, 'CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
      const locks = await room.open({ nodes: nodes.slice(0, 1) });
      const evictable = heard(locks, 'evictable');
      for (let i = 0; i < 3; i += 1) await (await locks.acquire('l')).release();
      await eventually(() =>
        expect(evictable).toEqual([{ node: 'node-1', policy: 'allkeys-lru' }]),
      );
    });
  });

  test('and is a warning of the process when nobody listens', async () => {
    await full(async () => {
      await command(nodes[0]!, 'CONFIG', 'SET', 'maxmemory', '100mb');
      await command(nodes[0]!, 'CONFIG', 'SET', 'maxmemory-policy', 'volatile-lru');
      const warnings: unknown[] = [];
      const note = (warning: unknown) => warnings.push(warning);
      process.on('warning', note);
      const locks = await room.open({ nodes: nodes.slice(0, 1) });
      await (await locks.acquire('l')).release();
      await eventually(() => expect(warnings).toHaveLength(1));
      process.off('warning', note);
      expect(warnings[0]).toMatchObject({ code: 'RINGCACHE_EVICTABLE_LOCKS' });
      expect(String(warnings[0])).toContain('node-1');
      expect(String(warnings[0])).toContain('volatile-lru');
    });
  });
});

test('a process that stood still is not given a lock whose time is over', async () => {
  const app = await room.openIn(fork, { nodes: nodes.slice(0, 1) });
  const locks = await room.open({ nodes: nodes.slice(0, 1) });
  const lock = await locks.acquire('l');
  const acquired = app.call('acquire', 'l', { ttl: 200, waitTimeout: '10s' });
  await eventually(async () => expect(await queueOf(nodes[0]!, room.keys, 'l')).toBe(1));
  // It is told, and granted, while it stands still; what it was granted has run out when it hears.
  const blocked = app.call('block', 700);
  await lock.release();
  const { remaining } = await acquired;
  expect(remaining).toBeGreaterThan(0);
  await blocked;
});

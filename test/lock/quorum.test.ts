/** Locks on a majority of independent nodes: any minority may fail. */
import { describe, expect, test } from 'vitest';
import { LockTimeoutError, LockUnavailableError, QuorumError, type Vote } from '../../src/index.ts';
import type { LocalNode } from '../../src/local.ts';
import { timed } from '../cache/caches.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { command, useNodes } from '../support/nodes.ts';
import { caught, queueOf, useLocks } from './lock-room.ts';

const nodes = useNodes(5);
const room = useLocks();
const fork = useFork();

const three = () => nodes.slice(0, 3);

async function holds(node: LocalNode, name = 'l'): Promise<boolean> {
  return (await command(node, 'EXISTS', room.keys.lock(name))) === ':1\r\n';
}

/** In the order in which they are asked for a lock. */
async function inOrder(name = 'l', among = three()): Promise<LocalNode[]> {
  const locks = await room.open({ nodes: among, quorum: true });
  const ids = (await locks.inspect(name)).node.split(',');
  return ids.map((id) => among.find((node) => node.id === id)!);
}

describe.each([3, 5])('of %i nodes', (count) => {
  const all = () => nodes.slice(0, count);
  const minority = () => nodes.slice(0, (count - 1) / 2);
  const majority = () => nodes.slice(0, (count + 1) / 2);

  test('a lock is held on a majority at least, and excludes', async () => {
    const [one, other] = [
      await room.open({ nodes: all(), quorum: true }),
      await room.open({ nodes: all(), quorum: true }),
    ];
    const lock = await one.acquire('l');
    const held = await Promise.all(all().map((node) => holds(node)));
    expect(held.filter(Boolean).length).toBeGreaterThanOrEqual((count + 1) / 2);
    expect(await other.tryAcquire('l')).toBeNull();
    const failure = await caught(other.acquire('l', { waitTimeout: 50 }));
    expect(failure).toBeInstanceOf(LockTimeoutError);
    expect(await other.inspect('l')).toMatchObject({ held: true, fence: lock.fence });
    expect(await lock.release()).toBe(true);
    await eventually(async () => {
      for (const node of all()) expect(await holds(node)).toBe(false);
    });
    const next = await other.acquire('l');
    expect(next.fence).toBeGreaterThan(lock.fence);
  });

  test.each<[string, (node: LocalNode) => Promise<void>]>([
    ['dead', (node) => node.kill()],
    ['stopped', (node) => node.pause()],
  ])('any minority may be %s, before or after', async (_, fail) => {
    const locks = await room.open({ nodes: all(), quorum: true, node: {} });
    const before = await locks.acquire('before', { renew: { interval: 50 } });
    await Promise.all(minority().map(fail));
    const names = Array.from({ length: 2 * count }, (__, i) => `l${i}`);
    for (const name of names) {
      const lock = await locks.acquire(name, { waitTimeout: '15s' });
      expect(await lock.extend()).toBeGreaterThan(5_000);
      expect(await lock.release()).toBe(true);
    }
    const { renewals } = locks.stats();
    await eventually(() => locks.stats().renewals > renewals + 1);
    expect(before.held).toBe(true);
    expect((await locks.inspect('before')).held).toBe(true);
    expect(await before.release()).toBe(true);
  });

  test('without a majority there is no lock: QuorumError says how each node voted', async () => {
    const locks = await room.open({ nodes: all(), quorum: true, node: {} });
    await (await locks.acquire('l')).release();
    await Promise.all(majority().map((node) => node.kill()));
    const { ms, value } = await timed(() => caught(locks.acquire('l', { waitTimeout: 300 })));
    expect(ms).toBeLessThan(300 + 50 + 200);
    expect(value).toBeInstanceOf(QuorumError);
    const { votes, code } = value as QuorumError;
    expect(code).toBe('RINGCACHE_QUORUM');
    expect(votes.map(({ node }) => node).sort()).toEqual(all().map(({ id }) => id));
    const unavailable = votes.filter(({ vote }) => vote === 'unavailable');
    expect(unavailable).toHaveLength((count + 1) / 2);
    for (const { error } of unavailable)
      expect(error).toMatchObject({ reason: expect.any(String) });
    const others: Vote['vote'][] = votes
      .filter(({ vote }) => vote !== 'unavailable')
      .map(({ vote }) => vote);
    for (const vote of others) expect(['granted', 'unanswered']).toContain(vote);
    await expect(locks.tryAcquire('l')).rejects.toThrow(QuorumError);
    await expect(locks.inspect('l')).rejects.toThrow(LockUnavailableError);
    // What the others granted is given back.
    await eventually(async () => {
      for (const node of all()) if (node.running) expect(await holds(node)).toBe(false);
    });
  });
});

test('a majority that is silent does not hold up the end of the wait', async () => {
  const locks = await room.open({ nodes: three(), quorum: true, node: {} });
  await (await locks.acquire('l')).release();
  await Promise.all([nodes[0]!.pause(), nodes[1]!.pause()]);
  const times: number[] = [];
  for (let i = 0; i < 3; i += 1) {
    const { ms, value } = await timed(() => caught(locks.acquire('l', { waitTimeout: 250 })));
    expect(value).toMatchObject({
      name: expect.stringMatching(/QuorumError|LockUnavailableError/),
    });
    times.push(ms);
  }
  expect(Math.min(...times)).toBeLessThan(250 + 50);
});

test('who is turned away at the first node does not split the votes of the others', async () => {
  const [first, ...others] = await inOrder();
  const locks = await room.open({ nodes: three(), quorum: true });
  await command(first!, 'SET', room.keys.lock('l'), 'another', 'PX', '60000');
  expect(await locks.tryAcquire('l')).toBeNull();
  for (const node of others) {
    expect(await command(node, 'EXISTS', room.keys.counter('l'))).toBe(':0\r\n');
  }
});

// Two who each had a part, and waited for the rest, would wait for each other.
test('who has no majority keeps nothing while it waits', async () => {
  const [first, second, third] = await inOrder();
  const locks = await room.open({ nodes: three(), quorum: true });
  await (await locks.acquire('l')).release();
  for (const node of [second!, third!]) {
    await command(node, 'SET', room.keys.lock('l'), 'another', 'PX', '1500');
  }
  const options = { ttl: '30s', waitTimeout: '15s', retries: 50, retryDelay: 300 };
  const acquired = locks.acquire('l', options);
  // Its number grows with each try.
  const { fence } = await locks.inspect('l');
  await eventually(async () => {
    const number = await command(first!, 'GET', room.keys.counter('l'));
    expect(Number(number.split('\r\n')[1])).toBeGreaterThan(fence);
    expect(await holds(first!)).toBe(false);
    expect(await holds(second!)).toBe(true);
  });
  expect((await acquired).held).toBe(true);
});

describe('fences', () => {
  test('grow, whichever majority grants', async () => {
    const locks = await room.open({ nodes: three(), quorum: true, node: {} });
    let last = 0;
    for (let round = 0; round < 6; round += 1) {
      const away = nodes[round % 3]!;
      await away.pause();
      const lock = await locks.acquire('l', { waitTimeout: '15s' });
      expect(lock.fence).toBeGreaterThan(last);
      last = lock.fence;
      await lock.release();
      await away.resume();
    }
  });

  // One round of numbers is not enough: (10, 5, 5) gives 10, and the next majority of the others 6.
  test('grow though one node is far ahead, and then away', async () => {
    const [first, second, third] = await inOrder();
    const locks = await room.open({ nodes: three(), quorum: true, node: {} });
    await (await locks.acquire('l')).release();
    const ahead = Date.now() * 1_000 + 3_600_000_000;
    for (const node of [first!, second!, third!]) {
      await command(
        node,
        'SET',
        room.keys.counter('l'),
        String(ahead + (node === first ? 1_000 : 0)),
      );
    }
    // Only two can grant: the one that is ahead, and another.
    await third!.pause();
    const lock = await locks.acquire('l', { waitTimeout: '15s' });
    expect(lock.fence).toBe(ahead + 1_001);
    await lock.release();
    await third!.resume();
    await first!.pause();
    const next = await locks.acquire('l', { waitTimeout: '15s' });
    expect(next.fence).toBeGreaterThan(lock.fence);
  });
});

describe('renewal', () => {
  test('takes again what a minority has lost', async () => {
    const locks = await room.open({ nodes: three(), quorum: true });
    const lock = await locks.acquire('l', { renew: { interval: 50 } });
    await eventually(async () => expect(await holds(nodes[2]!)).toBe(true));
    await command(nodes[2]!, 'DEL', room.keys.lock('l'));
    await eventually(async () => expect(await holds(nodes[2]!)).toBe(true));
    expect(lock.held).toBe(true);
    expect(await lock.release()).toBe(true);
  });

  test('that finds it gone at a majority loses it: taken, and gives the rest back', async () => {
    const locks = await room.open({ nodes: three(), quorum: true });
    const lock = await locks.acquire('l', { renew: { interval: 50 } });
    const { signal } = lock;
    const keys = [room.keys.lock('l')];
    const token = (await command(nodes[2]!, 'GET', keys[0]!)).split('\r\n')[1];
    await Promise.all(nodes.slice(0, 2).map((node) => command(node, 'SET', keys[0]!, 'another')));
    await eventually(() => signal.aborted);
    expect(signal.reason).toMatchObject({ reason: 'taken' });
    await eventually(async () => {
      expect(await command(nodes[2]!, 'GET', keys[0]!)).not.toContain(token ?? '-');
    });
    // And nothing of the others'.
    expect(await command(nodes[0]!, 'GET', keys[0]!)).toContain('another');
  });

  test('that reaches no majority keeps the lock to the end of its time, and no longer', async () => {
    const locks = await room.open({ nodes: three(), quorum: true, node: {} });
    const lock = await locks.acquire('l', { ttl: 900 });
    const { signal } = lock;
    await Promise.all([nodes[0]!.pause(), nodes[1]!.pause()]);
    expect(lock.held).toBe(true);
    await eventually(() => signal.aborted);
    expect(signal.reason).toMatchObject({ reason: 'unreachable' });
  });
});

describe('between processes', () => {
  test('a release wakes the next one, without a poll', async () => {
    const app = await room.openIn(fork, { nodes: three(), quorum: true });
    const locks = await room.open({ nodes: three(), quorum: true });
    const [first] = await inOrder();
    const times: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      const lock = await locks.acquire('l');
      const next = app.call('acquire', 'l', { retryDelay: 2_000 });
      await eventually(async () => expect(await queueOf(first!, room.keys, 'l')).toBe(1));
      const at = performance.timeOrigin + performance.now();
      await lock.release();
      const held = await next;
      times.push(held.at - at);
      await app.call('release', held.id);
    }
    expect(Math.min(...times)).toBeLessThan(100);
  });

  test('they exclude each other, whatever one node does meanwhile', async () => {
    const apps = await Promise.all(
      [1, 2, 3].map(() => room.openIn(fork, { nodes: three(), quorum: true, node: {} })),
    );
    const plan = { turns: 12, holdMs: 2, options: { retryDelay: 20 } };
    const work = apps.map((app) => app.call('takeTurns', 'l', plan));
    await nodes[0]!.pause();
    await eventually(async () => (await apps[0]!.call('stats')).acquired > 3);
    await nodes[0]!.resume();
    const turns = (await Promise.all(work)).flat().sort((x, y) => x.fence - y.fence);
    expect(turns).toHaveLength(36);
    for (const [i, turn] of turns.entries()) {
      if (i === 0) continue;
      expect(turn.fence).toBeGreaterThan(turns[i - 1]!.fence);
      expect(turn.from).toBeGreaterThanOrEqual(turns[i - 1]!.to);
    }
  });

  test('a holder that is killed is out after the ttl', async () => {
    const app = await room.openIn(fork, { nodes: three(), quorum: true });
    const locks = await room.open({ nodes: three(), quorum: true });
    const held = await app.call('acquire', 'l', { ttl: 600 });
    await app.kill();
    const lock = await locks.acquire('l');
    expect(lock.fence).toBeGreaterThan(held.fence);
  });
});

describe('a node that was restarted', () => {
  test('is a missing vote until maxTtl has passed, and no failure', async () => {
    const locks = await room.open({ nodes: three(), quorum: true, maxTtl: 1_000 });
    await (await locks.acquire('l')).release();
    await nodes[0]!.restart();
    for (let i = 0; i < 5; i += 1) {
      await using lock = await locks.acquire(`l${i}`, { waitTimeout: '15s' });
      lock.assertHeld();
      expect(await holds(nodes[0]!, `l${i}`)).toBe(false);
    }
    // Then it takes part again: it is needed when another is away.
    await nodes[1]!.kill();
    await (await locks.acquire('l', { waitTimeout: '15s' })).release();
  });

  test('two of three at once: nothing is granted until then, and the votes say why', async () => {
    const locks = await room.open({ nodes: three(), quorum: true, maxTtl: 1_000 });
    await (await locks.acquire('l')).release();
    await Promise.all([nodes[0]!.restart(), nodes[1]!.restart()]);
    await eventually(async () => {
      const failure = await caught(locks.tryAcquire('l'));
      expect(failure).toBeInstanceOf(QuorumError);
      expect(String(failure)).toContain('was restarted or has lost its data');
    });
    await (await locks.acquire('l', { waitTimeout: '15s' })).release();
  });
});

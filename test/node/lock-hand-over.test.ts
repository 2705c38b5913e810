/** Giving a lock back, and to the next who waits, in one step, on a real server. */
import { describe, expect, test } from 'vitest';
import type { LockNode } from '../../src/node/lock-node.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { askOf, useLocks } from './lock-subject.ts';

const nodes = useNodes(1);
const bench = useLocks(nodes);

const RESERVED_MS = 500;

/** What a waiter that listens on a connection of its own was told. */
async function listener(waiter: string): Promise<{ told: [string, string][]; locks: LockNode }> {
  const told: [string, string][] = [];
  const { node } = await bench.another();
  expect(await node.locks.listen(waiter, (token, name) => told.push([token, name]))).toBe(true);
  return { told, locks: node.locks };
}

const release = (token: string, more: { waiter?: string; keepMs?: number } = {}) =>
  bench.locks.release('n', { token, waiter: '', keepMs: 0, ...more });

const holder = () => bench.text('GET', 'rc:k:l:n');
const queue = () => bench.number('ZCARD', 'rc:k:q:n');

async function take(token = 'a', ttlMs = 10_000): Promise<void> {
  expect((await bench.locks.acquire('n', askOf(token, { ttlMs }))).kind).toBe('granted');
}

describe('a release', () => {
  test('of what is ours ends it', async () => {
    await take();
    expect(await release('a')).toBe(true);
    expect(await holder()).toBeUndefined();
    expect(await release('a')).toBe(false);
  });

  test("of another's lock does nothing to it and wakes nobody", async () => {
    const { told } = await listener('w');
    await take();
    await bench.enqueue('n', 1, 'w next');
    expect(await release('b')).toBe(false);
    expect(await holder()).toBe('a');
    expect(await queue()).toBe(1);
    await bench.redis('PUBLISH', 'rc:k:w:w', 'last n');
    await eventually(() => told.length > 0);
    expect(told).toEqual([['last', 'n']]);
  });

  test('keeps it for as long as is said: longer or shorter than it had, and for nobody', async () => {
    await take();
    await bench.enqueue('n', 1, 'w next');
    expect(await release('a', { keepMs: 20_000.5 })).toBe(true);
    expect(await bench.number('PTTL', 'rc:k:l:n')).toBeGreaterThan(19_000);
    expect(await release('a', { keepMs: 1_000 })).toBe(true);
    expect(await bench.number('PTTL', 'rc:k:l:n')).toBeLessThanOrEqual(1_000);
    expect(await holder()).toBe('a');
    expect(await queue()).toBe(1);
  });

  test('with a time to keep it that is over already ends it at once', async () => {
    await take();
    expect(await release('a', { keepMs: -5 })).toBe(true);
    expect(await holder()).toBeUndefined();
  });

  test('leaves the place of its token in the queue, whoever has the lock, and no other', async () => {
    await take();
    await bench.enqueue('n', 1, 'w b');
    await bench.enqueue('n', 2, 'w c');
    expect(await release('b', { waiter: 'w' })).toBe(false);
    expect(await bench.text('ZSCORE', 'rc:k:q:n', 'w b')).toBeUndefined();
    expect(await queue()).toBe(1);
    expect(await holder()).toBe('a');
  });

  test('needs no fence: what the token owns may be given back in any epoch', async () => {
    await take();
    await bench.redis('DEL', 'rc:e');
    expect(await release('a')).toBe(true);
  });
});

describe('the next who waits', () => {
  test('has it reserved before anybody else can take it, and is told so', async () => {
    const { told, locks } = await listener('w');
    await take();
    expect(await locks.acquire('n', askOf('b', { waiter: 'w' }))).toMatchObject({ kind: 'busy' });
    expect(await release('a')).toBe(true);
    expect(await holder()).toBe('b');
    const left = await bench.number('PTTL', 'rc:k:l:n');
    expect(left).toBeGreaterThan(RESERVED_MS - 200);
    expect(left).toBeLessThanOrEqual(RESERVED_MS);
    await eventually(() => told.length > 0);
    expect(told).toEqual([['b', 'n']]);
    expect(await bench.locks.acquire('n', askOf('c'))).toMatchObject({ kind: 'busy' });
    expect(await locks.acquire('n', askOf('b', { waiter: 'w' }))).toMatchObject({
      kind: 'granted',
    });
    expect(await bench.number('PTTL', 'rc:k:l:n')).toBeGreaterThan(9_000);
  });

  test('is the one who came first', async () => {
    const { told, locks } = await listener('w');
    await take();
    for (const token of ['c', 'b', 'd']) {
      await locks.acquire('n', askOf(token, { waiter: 'w' }));
    }
    for (const token of ['a', 'c', 'b', 'd']) expect(await release(token)).toBe(true);
    await eventually(() => told.length === 3);
    expect(told.map(([token]) => token)).toEqual(['c', 'b', 'd']);
    expect(await holder()).toBeUndefined();
  });

  test('is not one who is dead: all that hear nothing are passed over, and their places are gone', async () => {
    const { told } = await listener('alive');
    await take();
    await bench.enqueue('n', 1, 'dead x');
    await bench.enqueue('n', 2, 'gone y');
    await bench.enqueue('n', 3, 'alive z');
    await bench.enqueue('n', 4, 'alive last');
    expect(await release('a')).toBe(true);
    expect(await holder()).toBe('z');
    expect(await queue()).toBe(1);
    await eventually(() => expect(told).toEqual([['z', 'n']]));
  });

  test('may be nobody: then it is free', async () => {
    await take();
    for (const at of [1, 2, 3]) await bench.enqueue('n', at, `dead ${at}`);
    expect(await release('a')).toBe(true);
    expect(await holder()).toBeUndefined();
    expect(await queue()).toBe(0);
  });

  test('has it for the time of the reservation only, if it does not come', async () => {
    await listener('w');
    await take();
    await bench.enqueue('n', 1, 'w lazy');
    await release('a');
    expect(await holder()).toBe('lazy');
    await eventually(async () => (await holder()) === undefined, { withinMs: 2 * RESERVED_MS });
  });

  test('passes it on with a release of its own', async () => {
    const { told } = await listener('w');
    await take();
    await bench.enqueue('n', 1, 'w b');
    await bench.enqueue('n', 2, 'w c');
    await release('a');
    expect(await release('b', { waiter: 'w' })).toBe(true);
    expect(await holder()).toBe('c');
    await eventually(() => expect(told).toHaveLength(2));
  });

  test('is told the name as it is, spaces too', async () => {
    const { told } = await listener('w');
    await bench.locks.acquire('a  b c', askOf('a'));
    await bench.enqueue('a  b c', 1, 'w next');
    await bench.locks.release('a  b c', { token: 'a', waiter: '', keepMs: 0 });
    await eventually(() => expect(told).toEqual([['next', 'a  b c']]));
  });
});

describe('a server that does not let us publish', () => {
  test.each([
    ['the command', ['~*', '&*', '+@all', '-publish']],
    ['the channel', ['~*', 'resetchannels', '&rc:other', '+@all']],
  ])('gives a lock back all the same: %s is refused', async (_, rules) => {
    await command(nodes[0]!, 'ACL', 'SETUSER', 'mute', 'reset', 'on', '>pw', ...rules);
    try {
      const url = nodes[0]!.url.replace('//', '//mute:pw@');
      const { node } = await bench.another({ url });
      await listener('w');
      await node.locks.acquire('n', askOf('a'));
      await bench.enqueue('n', 1, 'w next');
      const released = node.locks.release('n', { token: 'a', waiter: '', keepMs: 0 });
      expect(await released).toBe(true);
      expect(await holder()).toBeUndefined();
      expect(await queue()).toBe(0);
    } finally {
      await command(nodes[0]!, 'ACL', 'DELUSER', 'mute');
    }
  });
});

describe('a full server that evicts nothing', () => {
  test.each([0, 1])('gives a lock back, with %s who wait', async (waiting) => {
    await listener('w');
    await take();
    for (let i = 0; i < waiting; i++) await bench.enqueue('n', i, `w next${i}`);
    await bench.redis('CONFIG', 'SET', 'maxmemory', '1');
    try {
      await expect(bench.locks.acquire('other', askOf('x'))).rejects.toThrow(/OOM|memory/);
      expect(await release('a')).toBe(true);
      expect(await holder()).toBe(waiting === 0 ? undefined : 'next0');
    } finally {
      await bench.redis('CONFIG', 'SET', 'maxmemory', '0');
    }
  });

  test('lengthens what is held', async () => {
    await take('a', 1_000);
    await bench.redis('CONFIG', 'SET', 'maxmemory', '1');
    try {
      const { fence } = askOf('a');
      const answer = bench.locks.prolong('n', { token: 'a', ttlMs: 9_000, fence });
      expect(await answer).toEqual({ kind: 'prolonged' });
      expect(await bench.number('PTTL', 'rc:k:l:n')).toBeGreaterThan(8_000);
    } finally {
      await bench.redis('CONFIG', 'SET', 'maxmemory', '0');
    }
  });
});

import { expect, test } from 'vitest';
import { LockLostError, LockTimeoutError } from '../../src/index.ts';
import { timed } from '../cache/caches.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { caught, heard, useLocks } from './lock-room.ts';

const nodes = useNodes(2);
const room = useLocks();

test('takes them in the order of their names, each once', async () => {
  const locks = await room.open({ nodes });
  const acquired = heard(locks, 'acquired');
  await using all = await locks.acquireAll(['b', 'a', 'B', 'b', 'ä', 'a']);
  expect(acquired.map(({ lock }) => lock)).toEqual(['B', 'a', 'b', 'ä']);
  expect(all.name).toBe('B, a, b, ä');
  expect(all.held).toBe(true);
  expect(all.remaining()).toBeGreaterThan(5_000);
  expect(all.fence).toBe(Math.max(...acquired.map(({ fence }) => fence)));
});

test('gives all of them back, and says whether all were still ours', async () => {
  const locks = await room.open({ nodes });
  const all = await locks.acquireAll(['a', 'b']);
  expect(await all.release()).toBe(true);
  expect(await all.release()).toBe(true);
  expect(all.held).toBe(false);
  const again = await locks.acquireAll(['a', 'b'], { renew: false });
  await Promise.all(nodes.map((node) => command(node, 'DEL', room.keys.lock('a'))));
  expect(await again.release()).toBe(false);
  expect(locks.stats().held).toBe(0);
});

test('holds none when one cannot be had, within one waitTimeout for all', async () => {
  const locks = await room.open({ nodes });
  const other = await room.open({ nodes });
  const blocking = await other.acquireAll(['b', 'd']);
  const work = () => caught(locks.acquireAll(['a', 'b', 'c', 'd'], { waitTimeout: 200 }));
  const { ms, value } = await timed(work);
  expect(value).toBeInstanceOf(LockTimeoutError);
  expect(value).toMatchObject({ lock: 'b' });
  expect(ms).toBeGreaterThan(190);
  expect(ms).toBeLessThan(1_000);
  for (const name of ['a', 'c']) expect((await locks.inspect(name)).held).toBe(false);
  expect(locks.stats()).toMatchObject({ held: 0, waiting: 0 });
  await blocking.release();
});

test('two who want the same in another order do not wait for each other', async () => {
  const [one, other] = await Promise.all([room.open({ nodes }), room.open({ nodes })]);
  const turns: string[] = [];
  const take = async (locks: typeof one, names: string[], who: string) => {
    for (let i = 0; i < 10; i += 1) {
      await using all = await locks.acquireAll(names);
      turns.push(who);
      all.assertHeld();
    }
  };
  await Promise.all([take(one, ['a', 'b', 'c'], 'one'), take(other, ['c', 'b', 'a'], 'other')]);
  expect(turns).toHaveLength(20);
});

test('is lost as a whole when one is lost', async () => {
  const locks = await room.open({ nodes });
  const all = await locks.acquireAll(['a', 'b'], { renew: { interval: 30 } });
  const { signal } = all;
  await Promise.all(nodes.map((node) => command(node, 'DEL', room.keys.lock('b'))));
  await eventually(() => signal.aborted);
  expect(signal.reason).toMatchObject({ lock: 'b', reason: 'taken' });
  expect(all.held).toBe(false);
  expect(() => all.assertHeld()).toThrow(LockLostError);
  await expect(all.extend()).rejects.toThrow(LockLostError);
  expect(await all.release()).toBe(false);
  expect((await locks.inspect('a')).held).toBe(false);
});

test('extend sets the time of all', async () => {
  const locks = await room.open({ nodes });
  await using all = await locks.acquireAll(['a', 'b'], { ttl: '5s' });
  expect(await all.extend('30s')).toBeGreaterThan(25_000);
  for (const name of ['a', 'b']) {
    expect((await locks.inspect(name)).remaining).toBeGreaterThan(25_000);
  }
});

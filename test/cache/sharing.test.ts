/**
 * `memory.clone`: no two callers have one object. `memory.freeze`: nobody can
 * change what all have. And neither: all have the same.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { useNodes } from '../support/nodes.ts';
import { Held, useCaches } from './caches.ts';

const nodes = useNodes(2);
const caches = useCaches();

interface Value {
  list: number[];
}

const fresh = (): Value => ({ list: [1, 2] });

const open = (memory: { clone?: boolean; freeze?: boolean; maxStale?: string }, options = {}) =>
  caches.open({ nodes, memory: { maxStale: '1m', ...memory }, ...options });

test('as a rule all have the same object', async () => {
  const cache = await open({});
  const value = fresh();
  const [one, other] = await Promise.all([
    cache.getOrSet('k', () => value),
    cache.getOrSet('k', () => value),
  ]);
  expect(one).toBe(value);
  expect(other).toBe(value);
  await cache.get('k');
  expect(cache.peek('k')).toBe(cache.peek('k'));
  expect(cache.peek('k')).toEqual(fresh());
});

describe('with clone', () => {
  /** Every object handed out is another one, and changing it changes nothing for the next. */
  async function expectDistinct(got: (Value | undefined)[]): Promise<void> {
    expect(new Set(got).size).toBe(got.length);
    for (const value of got) {
      expect(value).toEqual(fresh());
      value?.list.push(3);
    }
  }

  test('callers of one load, and of its memory, share nothing', async () => {
    const cache = await open({ clone: true });
    const load = new Held<Value>();
    const signal = new AbortController().signal;
    const loaded = fresh();
    const calls = [
      cache.getOrSet<Value>('k', load.loader),
      cache.getOrSet<Value>('k', load.loader, { signal }),
      cache.getOrSetMany<Value>(['k'], () => [fresh()]).then(([value]) => value),
    ].map((call) =>
      call.then((value) => {
        // At once, before the next caller has had his.
        const given = structuredClone(value);
        value?.list.push(9);
        return [value, given] as const;
      }),
    );
    await load.begun;
    load.finish(loaded);
    const got = await Promise.all(calls);
    expect(got.map(([, given]) => given)).toEqual([fresh(), fresh(), fresh()]);
    expect(new Set([loaded, ...got.map(([value]) => value)]).size).toBe(4);
    expect(loaded).toEqual(fresh());
    await expectDistinct([
      await cache.get('k'),
      cache.peek('k'),
      cache.peek('k'),
      await cache.getOrSet('k', fresh),
      ...(await cache.getMany<Value>(['k', 'k'])),
      ...(await cache.getOrSetMany<Value>(['k'], () => [])),
    ]);
    expect(cache.stats().loads).toBe(1);
  });

  test('what was read from the node is handed out and held as two objects', async () => {
    const writer = await open({});
    await writer.set('k', fresh());
    const cache = await open({ clone: true });
    await expectDistinct([await cache.get('k'), await cache.get('k'), cache.peek('k')]);
  });

  test('a set does not hold the object it was given', async () => {
    const cache = await open({ clone: true });
    const value = fresh();
    const set = cache.set('k', value);
    await set;
    value.list.push(3);
    expect(await cache.get('k')).toEqual(fresh());
  });

  test('a loader that changes the stale object, and fails, does not change what is served', async () => {
    const load = { softTimeout: '1m' };
    const cache = await open({ clone: true }, { ttl: 20, staleTtl: '1m', load });
    await cache.set('k', fresh());
    await sleep(60);
    const served = await cache.getOrSet<Value>('k', ({ stale }) => {
      (stale as Value).list.push(7);
      throw new Error('no database');
    });
    expect(served).toEqual(fresh());
  });

  test('what structuredClone refuses is copied by way of the codec', async () => {
    const cache = await open({ clone: true });
    const load = () => ({ id: 1, save: () => 'saved' });
    const [one, other] = await Promise.all([cache.getOrSet('k', load), cache.getOrSet('k', load)]);
    expect(one).toEqual({ id: 1 });
    expect(one).not.toBe(other);
    expect(await cache.get('k')).toEqual({ id: 1 });
  });

  test('what cannot be stored at all is shared by those who waited for it, and by nobody else', async () => {
    const cache = await open({ clone: true });
    const load = () => () => 'a function';
    const [one, other] = await Promise.all([cache.getOrSet('k', load), cache.getOrSet('k', load)]);
    expect(one).toBe(other);
    expect(cache.peek('k')).toBeUndefined();
  });
});

describe('with freeze', () => {
  test('whoever changes what was loaded, read or set is thrown at', async () => {
    const cache = await open({ freeze: true });
    const reader = await open({ freeze: true });
    const mine = fresh();
    await cache.set('set', mine);
    const values = [
      await cache.getOrSet('k', fresh),
      await cache.get<Value>('k'),
      cache.peek<Value>('k'),
      await reader.get<Value>('k'),
      await cache.get<Value>('set'),
      ...(await reader.getOrSetMany<Value>(['many'], () => [fresh()])),
    ];
    for (const value of values) expect(() => value?.list.push(3)).toThrow(TypeError);
  });

  test('that holds without memory, too, for those who share a load', async () => {
    const cache = await open({ freeze: true });
    const value = await cache.getOrSet('k', fresh, { memory: false });
    expect(() => value.list.push(3)).toThrow(TypeError);
  });
});

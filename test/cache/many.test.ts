/** Many keys at once: positions, duplicates, and one call of the loader. */
import { describe, expect, test } from 'vitest';
import { InvalidKeyError, InvalidOptionError, InvalidValueError } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { useNodes } from '../support/nodes.ts';
import { Held, timed, useCaches } from './caches.ts';

const nodes = useNodes(3);
const fork = useFork();
const caches = useCaches();
const open = (options: object = {}) => caches.open({ nodes, ...options });

describe('setMany, getMany, deleteMany', () => {
  test('answer in the order of what was asked, duplicates included', async () => {
    const cache = await open();
    const keys = Array.from({ length: 200 }, (_, i) => `k${i}`);
    expect(await cache.setMany(new Map(keys.map((key, i) => [key, i])))).toEqual(
      keys.map(() => true),
    );
    const mixed = ['k7', 'absent', 'k7', 'k199', 'absent', 'k0'];
    for (const reader of [cache, await open()]) {
      expect(await reader.getMany(mixed)).toEqual([7, undefined, 7, 199, undefined, 0]);
      expect(await reader.getMany(keys)).toEqual(keys.map((_, i) => i));
    }
    expect(await cache.deleteMany(['k7', 'absent', 'k7'])).toEqual([true, true, true]);
    expect(await cache.getMany(mixed)).toEqual([
      undefined,
      undefined,
      undefined,
      199,
      undefined,
      0,
    ]);
  });

  test('of one key set twice the later value stays', async () => {
    const cache = await open();
    expect(
      await cache.setMany([
        ['k', 'first'],
        ['k', 'second'],
      ]),
    ).toEqual([true, true]);
    expect(await cache.get('k')).toBe('second');
    expect(await (await open()).get('k')).toBe('second');
  });

  test('take nothing, and any iterable', async () => {
    const cache = await open();
    expect(await cache.getMany([])).toEqual([]);
    expect(await cache.setMany([])).toEqual([]);
    expect(await cache.deleteMany([])).toEqual([]);
    expect(await cache.getOrSetMany([], () => [])).toEqual([]);
    function* entries(): Generator<[string, unknown]> {
      yield ['a', 1];
      yield ['b', null];
    }
    expect(await cache.setMany(entries())).toEqual([true, true]);
    expect(await cache.getMany(['a', 'b'])).toEqual([1, null]);
  });

  test('check everything before anything is changed', async () => {
    const cache = await open();
    await cache.set('a', 'kept');
    await expect(
      cache.setMany([
        ['a', 1],
        ['', 2],
      ]),
    ).rejects.toThrow(InvalidKeyError);
    await expect(
      cache.setMany([
        ['a', 1],
        ['b', undefined],
      ]),
    ).rejects.toThrow(InvalidValueError);
    await expect(cache.deleteMany(['a', ''])).rejects.toThrow(InvalidKeyError);
    await expect(cache.getMany(['a', 1 as never])).rejects.toThrow(InvalidKeyError);
    await expect(cache.getMany('a' as never)).rejects.toThrow(InvalidKeyError);
    expect(await cache.get('a')).toBe('kept');
  });

  test('sixty reads of one turn are a request or two for each node', async () => {
    const cache = await open({ memory: false });
    const requests = () => {
      return Object.values(cache.stats().nodes).reduce((sum, { batches }) => sum + batches, 0);
    };
    const before = requests();
    await Promise.all(Array.from({ length: 60 }, (_, i) => cache.get(`k${i}`)));
    expect(requests() - before).toBeLessThanOrEqual(6);
  });
});

describe('getOrSetMany', () => {
  test('calls its loader once for all that is missing, wherever it belongs', async () => {
    const cache = await open();
    await cache.setMany([
      ['b', 'stored b'],
      ['d', 'stored d'],
    ]);
    const calls: string[][] = [];
    const values = await cache.getOrSetMany(['a', 'b', 'c', 'a', 'd', 'e'], (missing) => {
      calls.push(missing);
      return missing.map((key) => `loaded ${key}`);
    });
    expect(calls).toEqual([['a', 'c', 'e']]);
    expect(values).toEqual([
      'loaded a',
      'stored b',
      'loaded c',
      'loaded a',
      'stored d',
      'loaded e',
    ]);
    expect(await (await open()).getMany(['a', 'b', 'c', 'd', 'e'])).toEqual([
      ...['loaded a', 'stored b', 'loaded c', 'stored d', 'loaded e'],
    ]);
    expect(await cache.getOrSetMany(['e', 'a'], () => [])).toEqual(['loaded e', 'loaded a']);
  });

  test('with five hundred keys over three nodes it is still one call', async () => {
    const cache = await open();
    const keys = Array.from({ length: 500 }, (_, i) => `k${i}`);
    let calls = 0;
    const values = await cache.getOrSetMany(keys, async (missing) => {
      calls += 1;
      // In the order of the call, whichever node answers first.
      expect(missing).toEqual(keys);
      return new Map(missing.map((key) => [key, key.length]));
    });
    expect(values).toEqual(keys.map((key) => key.length));
    expect(calls).toBe(1);
  });

  test('a Map may lack keys, an array may be short: undefined, and not stored', async () => {
    const cache = await open();
    const some = new Map([['b', 2]]);
    expect(await cache.getOrSetMany(['a', 'b', 'c'], () => some)).toEqual([
      undefined,
      2,
      undefined,
    ]);
    expect(await cache.getOrSetMany(['d', 'e'], () => [4])).toEqual([4, undefined]);
    expect(await cache.getMany(['a', 'b', 'c', 'd', 'e'])).toEqual([
      undefined,
      2,
      undefined,
      4,
      undefined,
    ]);
    for (const key of ['a', 'c', 'e']) expect((await cache.explain(key)).leased).toBe(false);
  });

  test('a loader that changes its list changes nothing else', async () => {
    const cache = await open();
    const values = await cache.getOrSetMany(['a', 'b', 'c'], (missing) => {
      const map = new Map(missing.map((key) => [key, key.toUpperCase()]));
      missing.length = 0;
      return map;
    });
    expect(values).toEqual(['A', 'B', 'C']);
  });

  test.each([
    ['an object', { a: 1 }],
    ['nothing', undefined],
    ['a string', 'abc'],
  ])(
    'a loader that returns %s fails, for all its keys, and nothing stays leased',
    async (_, wrong) => {
      const cache = await open();
      await expect(cache.getOrSetMany(['a', 'b'], () => wrong as never)).rejects.toThrow(TypeError);
      await eventually(async () => {
        expect((await cache.explain('a')).leased || (await cache.explain('b')).leased).toBe(false);
      });
      expect(await cache.getOrSetMany(['a', 'b'], () => [1, 2])).toEqual([1, 2]);
    },
  );

  test('what its loader throws is thrown, and what was held or stored is not lost', async () => {
    const cache = await open();
    await cache.set('a', 1);
    const failure = new Error('the database is away');
    const call = cache.getOrSetMany(['a', 'b', 'c'], () => Promise.reject(failure));
    await expect(call).rejects.toBe(failure);
    expect(await cache.get('a')).toBe(1);
  });

  test('joins loads of single keys, and single callers join it', async () => {
    const cache = await open();
    const single = new Held<string>();
    const bulk = new Held<string[]>();
    const asked: string[][] = [];
    const one = cache.getOrSet('a', single.loader);
    await single.begun;
    const many = cache.getOrSetMany(['a', 'b'], (missing) => {
      asked.push(missing);
      return bulk.loader();
    });
    await bulk.begun;
    const joined = cache.getOrSet('b', () => 'never');
    expect(asked).toEqual([['b']]);
    bulk.finish(['bulk b']);
    single.finish('single a');
    expect(await Promise.all([one, many, joined])).toEqual([
      'single a',
      ['single a', 'bulk b'],
      'bulk b',
    ]);
  });

  test('with lists that overlap, in two processes and backwards, all are served with one load for each key', async () => {
    const apps = [await caches.openIn(fork, { nodes }), await caches.openIn(fork, { nodes })];
    const keys = Array.from({ length: 60 }, (_, i) => `k${i}`);
    const lists = [keys, keys.toReversed()];
    const { ms, value } = await timed(() => {
      return Promise.all(lists.map((list, i) => apps[i]!.call('getOrSetMany', list, 50)));
    });
    expect(value).toEqual(lists.map((list) => list.map((key) => `value of ${key}`)));
    const loads = await Promise.all(apps.map((app) => app.call('loads')));
    expect(loads[0]! + loads[1]!).toBe(60);
    expect(ms).toBeLessThan(1_000);
  });

  test('a caller who aborts leaves; the call is aborted when nobody waits for any of its keys', async () => {
    const cache = await open();
    const load = new Held<string[]>();
    const control = new AbortController();
    let signal: AbortSignal | undefined;
    const call = cache.getOrSetMany(
      ['a', 'b'],
      (_, context) => {
        signal = context.signal;
        return load.loader();
      },
      { signal: control.signal },
    );
    const outcome = expect(call).rejects.toThrow('left');
    await load.begun;
    const stays = expect(cache.getOrSet('b', () => 'never')).resolves.toBe('loaded b');
    control.abort(new Error('left'));
    await outcome;
    expect(signal?.aborted).toBe(false);
    load.finish(['loaded a', 'loaded b']);
    await stays;
  });

  test('setTtl and skip count for all that was loaded', async () => {
    const cache = await open({ ttl: '1h' });
    await cache.getOrSetMany(['a', 'b'], (missing, { setTtl }) => {
      setTtl('5s');
      return missing;
    });
    for (const key of ['a', 'b']) expect((await cache.explain(key)).ttlLeftMs).toBeLessThan(5_002);
    const skipped = await cache.getOrSetMany(['c', 'd'], (missing, { skip }) => {
      skip();
      return missing;
    });
    expect(skipped).toEqual(['c', 'd']);
    expect(await cache.getMany(['c', 'd'])).toEqual([undefined, undefined]);
  });

  test('refuses bad keys and loaders before anything is asked', async () => {
    const cache = await open();
    await expect(cache.getOrSetMany(['a', ''], () => [])).rejects.toThrow(InvalidKeyError);
    await expect(cache.getOrSetMany(['a'], null as never)).rejects.toThrow(InvalidOptionError);
    const wrongTtl = cache.getOrSetMany(['a'], () => [1], { ttl: 'soon' });
    await expect(wrongTtl).rejects.toThrow(InvalidOptionError);
    expect(cache.stats().misses).toBe(0);
  });
});

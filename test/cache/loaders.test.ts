/** What loaders may do, what they are told, and what callers who leave do to them. */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  InvalidOptionError,
  InvalidValueError,
  type LoadContext,
  LoadTimeoutError,
} from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { useNodes } from '../support/nodes.ts';
import { Held, heard, timed, useCaches } from './caches.ts';

const nodes = useNodes(2);
const fork = useFork();
const caches = useCaches();
const open = (options: object = {}) => caches.open({ nodes, ...options });

describe('a loader', () => {
  test('is told its key and a signal, and no stale value when there is none', async () => {
    const cache = await open();
    let told: LoadContext | undefined;
    await cache.getOrSet('k', (context) => {
      told = context;
      return 1;
    });
    expect(told).toMatchObject({ key: 'k', stale: undefined });
    expect(told?.signal.aborted).toBe(false);
  });

  // In the very turn in which the first caller is told of the error.
  test('that failed is called again for whoever asks again at once', async () => {
    const cache = await open();
    const failing = cache.getOrSet('again', () => Promise.reject(new Error('boom')));
    const next = failing.catch(() => cache.getOrSet('again', () => 'loaded'));
    expect(await next).toBe('loaded');
    const skipped = cache.getOrSet('more', () => undefined);
    expect(await skipped.then(() => cache.getOrSet('more', () => 'loaded'))).toBe('loaded');
  });

  test('may set another ttl, or say that the value is not to be stored', async () => {
    const cache = await open({ ttl: '1h' });
    await cache.getOrSet('short', ({ setTtl }) => {
      setTtl('5s');
      return 1;
    });
    expect((await cache.explain('short')).ttlLeftMs).toBeLessThanOrEqual(5_001);
    expect(
      await cache.getOrSet('skipped', ({ skip }) => {
        skip();
        return 'only for you';
      }),
    ).toBe('only for you');
    expect(cache.peek('skipped')).toBeUndefined();
    expect(await cache.get('skipped')).toBeUndefined();
    expect(await cache.explain('skipped')).toMatchObject({ atNode: 'absent', leased: false });
    const wrong = cache.getOrSet('wrong', ({ setTtl }) => setTtl('soon'));
    await expect(wrong).rejects.toThrow(InvalidOptionError);
  });

  test.each([
    ['an error', new TypeError('no')],
    ['what is no error', 'a string'],
    ['undefined', undefined],
    ['null', null],
  ])('that rejects with %s gives the lease back, and the next one loads', async (_, thrown) => {
    const cache = await open();
    const calls = [1, 2].map(() => {
      return cache.getOrSet('k', () => Promise.reject(thrown));
    });
    for (const settled of await Promise.allSettled(calls)) {
      expect(settled).toEqual({ status: 'rejected', reason: thrown });
    }
    await eventually(async () => !(await cache.explain('k')).leased);
    expect(await cache.getOrSet('k', () => 'next')).toBe('next');
  });

  test('that throws at once rejects, as one that rejects does', async () => {
    const cache = await open();
    const failure = new TypeError('sync');
    const throws = (): number => {
      throw failure;
    };
    await expect(cache.getOrSet('k', throws)).rejects.toBe(failure);
    await expect(cache.getOrSetMany(['k'], throws as never)).rejects.toBe(failure);
    expect(await cache.getOrSet('k', () => 1)).toBe(1);
  });

  test('that returns undefined is believed for this time, and nothing is stored', async () => {
    const cache = await open();
    expect(await cache.getOrSet('k', () => undefined)).toBeUndefined();
    expect(await cache.explain('k')).toMatchObject({ atNode: 'absent', leased: false });
    expect(await cache.getOrSet<unknown>('k', () => 'row')).toBe('row');
  });

  test.each([0, '', false, null])(
    'that returns %j is answered from the cache next time',
    async (value) => {
      const cache = await open();
      expect(await cache.getOrSet<unknown>('k', () => value)).toBe(value);
      expect(await cache.getOrSet<unknown>('k', () => 'never')).toBe(value);
      const other = await open();
      expect(await other.getOrSet<unknown>('k', () => 'never')).toBe(value);
      expect(await other.get('k')).toBe(value);
    },
  );

  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  test.each([
    ['a function', () => 1],
    ['a circular object', circular],
    ['a bigint', 10n],
    ['more than a megabyte', 'x'.repeat(1_100_000)],
    ['NaN', Number.NaN],
    ['a symbol', Symbol('s')],
  ])('that returns %s has it handed out and not stored, and that is said', async (_, value) => {
    const cache = await open();
    const refused = heard(cache, 'value:refused');
    expect(await cache.getOrSet('k', () => value)).toBe(value);
    expect(refused).toMatchObject([{ key: 'k', error: { code: 'RINGCACHE_INVALID_VALUE' } }]);
    expect(refused[0]?.error).toBeInstanceOf(InvalidValueError);
    expect(cache.stats().refusedValues).toBe(1);
    expect(cache.peek('k')).toBeUndefined();
    await eventually(async () => !(await cache.explain('k')).leased);
    expect((await cache.explain('k')).atNode).toBe('absent');
    await expect(cache.set('k', value)).rejects.toThrow(InvalidValueError);
  });

  test('that takes longer than load.timeout is given up, its signal aborted, the lease free', async () => {
    const cache = await open({ load: { timeout: 100 } });
    let signal: AbortSignal | undefined;
    const { ms, value } = await timed(() => {
      const call = cache.getOrSet('k', (context) => {
        signal = context.signal;
        return new Promise(() => undefined);
      });
      return call.catch((error: unknown) => error);
    });
    expect(value).toBeInstanceOf(LoadTimeoutError);
    expect(value).toMatchObject({ code: 'RINGCACHE_LOAD_TIMEOUT', timeoutMs: 100 });
    expect(ms).toBeLessThan(300);
    expect(signal?.reason).toBe(value);
    expect(await cache.getOrSet('k', () => 'next')).toBe('next');
  });

  test('who waits for the load of another process waits no longer than load.timeout either', async () => {
    const app = await caches.openIn(fork, { nodes });
    await app.call('beginLoad', 'k');
    const cache = await open({ load: { timeout: 150 } });
    const { ms, value } = await timed(() => cache.getOrSet('k', () => 1).catch((e: unknown) => e));
    expect(value).toBeInstanceOf(LoadTimeoutError);
    expect(ms).toBeLessThan(400);
    expect(await app.call('finishLoad', 'k', 'theirs')).toBe('theirs');
    expect(await cache.getOrSet('k', () => 'never')).toBe('theirs');
  });

  test('is not called on a hit, nor by who joins a load', async () => {
    const cache = await open();
    await cache.set('k', 1);
    const never = () => {
      throw new Error('called');
    };
    expect(await cache.getOrSet('k', never)).toBe(1);
    expect(await (await open()).getOrSet('k', never)).toBe(1);
    const load = new Held<number>();
    const first = cache.getOrSet('cold', load.loader);
    const joined = cache.getOrSet('cold', never);
    await load.begun;
    load.finish(2);
    expect(await Promise.all([first, joined])).toEqual([2, 2]);
  });

  test('that is no function is refused, and nothing is asked', async () => {
    const cache = await open();
    await expect(cache.getOrSet('k', 'value' as never)).rejects.toThrow(InvalidOptionError);
    await expect(cache.getOrSetMany(['k'], [1] as never)).rejects.toThrow(InvalidOptionError);
    expect((await cache.explain('k')).leased).toBe(false);
  });

  test('may itself read, load and write other keys', async () => {
    const cache = await open();
    const value = await cache.getOrSet('outer', async () => {
      await cache.set('third', 3);
      return (await cache.getOrSet('inner', () => 1)) + ((await cache.get<number>('third')) ?? 0);
    });
    expect(value).toBe(4);
  });
});

describe('a caller who aborts', () => {
  test('leaves at once; the others get the value', async () => {
    const cache = await open();
    const load = new Held<string>();
    const control = new AbortController();
    let signal: AbortSignal | undefined;
    const loader = (context: LoadContext) => {
      signal = context.signal;
      return load.loader();
    };
    const leaves = cache.getOrSet('k', loader, { signal: control.signal });
    const stays = cache.getOrSet('k', loader);
    const reason = new Error('the request was cancelled');
    await load.begun;
    control.abort(reason);
    await expect(leaves).rejects.toBe(reason);
    expect(signal?.aborted).toBe(false);
    load.finish('value');
    expect(await stays).toBe('value');
    expect(await cache.get('k')).toBe('value');
  });

  test('and is the last aborts the load; who comes then starts anew', async () => {
    const cache = await open();
    const load = new Held<string>();
    let signal: AbortSignal | undefined;
    const controls = [new AbortController(), new AbortController()];
    const calls = controls.map((control) => {
      return cache.getOrSet(
        'k',
        (context) => {
          signal = context.signal;
          return load.loader();
        },
        { signal: control.signal },
      );
    });
    const outcomes = Promise.allSettled(calls);
    await load.begun;
    controls[0]!.abort(new Error('first'));
    await expect(calls[0]).rejects.toThrow('first');
    expect(signal?.aborted).toBe(false);
    controls[1]!.abort(new Error('second'));
    await outcomes;
    expect(signal?.aborted).toBe(true);
    expect(await cache.getOrSet('k', () => 'anew')).toBe('anew');
    load.finish('late');
    expect(await cache.get('k')).toBe('anew');
  });

  test('before the call is rejected with its reason, and nothing is asked', async () => {
    const cache = await open();
    const signal = AbortSignal.abort(new Error('too late'));
    await expect(cache.getOrSet('k', () => 1, { signal })).rejects.toThrow('too late');
    await expect(cache.getOrSetMany(['k'], () => [1], { signal })).rejects.toThrow('too late');
    await expect(cache.set('k', 1, { signal })).rejects.toThrow('too late');
    expect(cache.stats()).toMatchObject({ loads: 0, sets: 0 });
  });

  test('while waiting for its turn gives it up', async () => {
    const cache = await open({ load: { concurrency: 1 } });
    const load = new Held<string>();
    const running = cache.getOrSet('a', load.loader);
    await load.begun;
    const control = new AbortController();
    const never = new Held<string>();
    const waiting = cache.getOrSet('b', never.loader, { signal: control.signal });
    const outcome = expect(waiting).rejects.toThrow('gone');
    await eventually(() => cache.stats().loadsWaiting === 1);
    control.abort(new Error('gone'));
    await outcome;
    expect(cache.stats().loadsWaiting).toBe(0);
    load.finish('a');
    expect(await running).toBe('a');
    expect(never.calls).toBe(0);
    expect(await cache.getOrSet('b', () => 'b')).toBe('b');
  });

  test('leaves no listener on its signal when it was served', async () => {
    const cache = await open();
    const { signal } = new AbortController();
    for (let i = 0; i < 20; i += 1) await cache.getOrSet(`k${i}`, () => i, { signal });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});

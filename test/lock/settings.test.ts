/** What the options of locks may be. All of it is checked before any I/O: no node of these exists. */
import { describe, expect, test } from 'vitest';
import { createCache, createLocks, InvalidKeyError, InvalidOptionError } from '../../src/index.ts';
import {
  LOCK_DEFAULTS,
  type LockOptions,
  type LocksOptions,
  lockSettings,
  locksSettings,
  PLAIN_SETTINGS,
} from '../../src/lock/settings.ts';
import { resolveLocksOptions } from '../../src/options.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { locksByHand } from './by-hand.ts';

const NOWHERE = Array.from({ length: 5 }, (_, i) => `redis://127.0.0.1:${i + 1}`);

/** Given as `any` program may give it. */
function options(given: object): LockOptions {
  return given;
}

function failureOf(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}

describe('what is in range is taken', () => {
  test.each<[string, object, object]>([
    ['nothing', {}, PLAIN_SETTINGS],
    ['the shortest ttl', { ttl: 10 }, { ttlMs: 10 }],
    ['the longest ttl', { ttl: '60s' }, { ttlMs: 60_000 }],
    ['a ttl with a fraction', { ttl: '0.5s' }, { ttlMs: 500 }],
    ['no waiting', { waitTimeout: 0 }, { waitMs: 0 }],
    ['waiting with a unit', { waitTimeout: '2m' }, { waitMs: 120_000 }],
    [
      'waiting for ever',
      { waitTimeout: Number.POSITIVE_INFINITY },
      { waitMs: Number.POSITIVE_INFINITY },
    ],
    ['no retries', { retries: 0 }, { retries: 0 }],
    [
      'endless retries',
      { retries: Number.POSITIVE_INFINITY },
      { retries: Number.POSITIVE_INFINITY },
    ],
    ['the shortest delay', { retryDelay: 1 }, { retryDelayMs: 1 }],
    ['renewal', { renew: true }, { renewEveryMs: undefined }],
    ['no renewal', { renew: false }, { renewEveryMs: 0 }],
    ['renewal by default', { renew: {} }, { renewEveryMs: undefined }],
    ['the shortest interval', { renew: { interval: 1 } }, { renewEveryMs: 1 }],
    ['the longest interval', { ttl: 1_000, renew: { interval: 999 } }, { renewEveryMs: 999 }],
    ['no minHold', { minHold: 0 }, { minHoldMs: 0 }],
    ['the longest minHold', { minHold: '1d' }, { minHoldMs: 86_400_000 }],
    [
      'options that are undefined',
      { ttl: undefined, renew: undefined, signal: undefined },
      PLAIN_SETTINGS,
    ],
  ])('%s', (_, given, settings) => {
    expect(lockSettings(PLAIN_SETTINGS, options(given))).toMatchObject(settings);
  });
});

describe('what is not is refused: the message says where, the rule and what was given', () => {
  test.each<[string, unknown, string, string]>([
    ['ttl', 0, '10 ms to 60000 ms', '0'],
    ['ttl', 9, '10 ms to 60000 ms', '9'],
    ['ttl', 60_001, '10 ms to 60000 ms', '60001'],
    ['ttl', '61s', '10 ms to 60000 ms', '"61s"'],
    ['ttl', -1, 'a duration', '-1'],
    ['ttl', Number.NaN, 'a duration', 'NaN'],
    ['ttl', Number.POSITIVE_INFINITY, 'a duration', 'Infinity'],
    ['ttl', '10', 'a duration', '"10"'],
    ['ttl', '', 'a duration', '""'],
    ['ttl', null, 'a duration', 'null'],
    ['ttl', 10n, 'a duration', '10n'],
    ['waitTimeout', -1, 'or Infinity', '-1'],
    ['waitTimeout', Number.NaN, 'or Infinity', 'NaN'],
    ['waitTimeout', 'Infinity', 'or Infinity', '"Infinity"'],
    ['waitTimeout', null, 'or Infinity', 'null'],
    ['retries', -1, 'an integer of 0 or more, or Infinity', '-1'],
    ['retries', 1.5, 'an integer of 0 or more, or Infinity', '1.5'],
    ['retries', Number.NaN, 'an integer of 0 or more, or Infinity', 'NaN'],
    ['retries', '3', 'an integer of 0 or more, or Infinity', '"3"'],
    ['retryDelay', 0, 'at least 1 ms', '0'],
    ['retryDelay', Number.POSITIVE_INFINITY, 'a duration', 'Infinity'],
    ['renew', 'yes', 'true, false or an object { interval }', '"yes"'],
    ['renew', null, 'true, false or an object { interval }', 'null'],
    ['renew.interval', 0, 'shorter than the ttl (10000 ms)', '0'],
    ['renew.interval', 10_000, 'shorter than the ttl (10000 ms)', '10000'],
    ['renew.interval', '10s', 'shorter than the ttl (10000 ms)', '"10s"'],
    ['renew.interval', Number.NaN, 'a duration', 'NaN'],
    ['renew.every', 100, 'there is no such option', '100'],
    ['minHold', -1, '0 ms to 86400000 ms', '-1'],
    ['minHold', '25h', '0 ms to 86400000 ms', '"25h"'],
    ['signal', {}, 'an AbortSignal', 'an object'],
    ['signal', null, 'an AbortSignal', 'null'],
    ['timeout', 5_000, 'there is no such option', '5000'],
    ['maxTtl', 5_000, 'there is no such option', '5000'],
  ])('%s: %s', (path, value, rule, shown) => {
    const [option = '', inner] = path.split('.');
    const given = options({ [option]: inner === undefined ? value : { [inner]: value } });
    for (const under of ['', 'lock.']) {
      const failure = failureOf(() => lockSettings(PLAIN_SETTINGS, given, under));
      expect(failure).toBeInstanceOf(InvalidOptionError);
      expect(failure).toMatchObject({ path: under + path, code: 'RINGCACHE_INVALID_OPTION' });
      const { message } = failure as Error;
      expect(message).toContain(`${under}${path} must be `);
      expect(message).toContain(rule);
      expect(message).toContain(`was given ${shown}`);
    }
  });

  test.each([null, 5_000, 'ttl', [], true])('options that are %s', (given) => {
    const failure = failureOf(() => lockSettings(PLAIN_SETTINGS, given as LockOptions));
    expect(failure).toMatchObject({ path: 'options' });
    expect(failureOf(() => locksSettings(given as LocksOptions, 'lock.'))).toMatchObject({
      path: 'lock',
    });
  });

  test.each([0, 99, 60_001, -1, Number.NaN, 'soon', null])('maxTtl: %s', (maxTtl) => {
    const failure = failureOf(() => locksSettings({ maxTtl } as LocksOptions));
    expect(failure).toMatchObject({ path: 'maxTtl' });
    expect((failure as Error).message).toContain('100 ms to 60000 ms');
  });
});

describe('the options of all locks', () => {
  test('are, when nothing is said, those that are documented', () => {
    expect(locksSettings()).toEqual(PLAIN_SETTINGS);
    expect(locksSettings(LOCK_DEFAULTS)).toEqual(PLAIN_SETTINGS);
    expect(resolveLocksOptions({ nodes: NOWHERE })).toMatchObject({
      namespace: 'ringcache',
      quorum: false,
      lock: PLAIN_SETTINGS,
    });
  });

  test('stand in for what a call leaves out, and give way to what it says', () => {
    const controller = new AbortController();
    const { signal } = controller;
    const own = locksSettings({
      ttl: '2s',
      waitTimeout: 7,
      retries: 1,
      retryDelay: 3,
      minHold: 4,
      signal,
    });
    expect(lockSettings(own, {})).toEqual(own);
    expect(lockSettings(own, { ttl: '3s', retries: 9 })).toEqual({
      ...own,
      ttlMs: 3_000,
      retries: 9,
    });
  });

  test('maxTtl bounds the ttl of every call, and the default', () => {
    const own = locksSettings({ maxTtl: '1s' });
    expect(own).toMatchObject({ ttlMs: 1_000, maxTtlMs: 1_000 });
    expect(failureOf(() => lockSettings(own, { ttl: 1_001 }))).toMatchObject({ path: 'ttl' });
    expect(failureOf(() => locksSettings({ maxTtl: '1s', ttl: '2s' }))).toMatchObject({
      path: 'ttl',
    });
  });

  test('an interval for the usual ttl does not spoil a call with a shorter one', () => {
    const own = locksSettings({ ttl: '30s', renew: { interval: '5s' } });
    expect(lockSettings(own, { ttl: '6s' }).renewEveryMs).toBe(5_000);
    expect(lockSettings(own, { ttl: '5s' }).renewEveryMs).toBeUndefined();
  });
});

describe('createLocks and createCache({ lock }) refuse before any I/O', () => {
  test.each<[object, string]>([
    [{ ttl: 0 }, 'ttl'],
    [{ maxTtl: '61s' }, 'maxTtl'],
    [{ renew: { interval: '10s' } }, 'renew.interval'],
    [{ signal: 1 }, 'signal'],
    [{ retries: -1 }, 'retries'],
  ])('%j', async (given, path) => {
    const nodes = NOWHERE.slice(0, 1);
    await expect(createLocks({ nodes, ...given })).rejects.toMatchObject({ path });
    await expect(createCache({ nodes, lock: given })).rejects.toMatchObject({
      path: `lock.${path}`,
    });
  });

  test.each<[object, string]>([
    [{ quorum: 'yes' }, 'quorum'],
    [{ timeout: 1 }, 'timeout'],
    [{ ring: {} }, 'ring'],
    [{ nodes: [] }, 'nodes'],
    [{ nodes: ['http://127.0.0.1:1'] }, 'nodes.0.url'],
    [{ nodes: [NOWHERE[0], NOWHERE[0]] }, 'nodes.1.id'],
    [{ namespace: 'a b' }, 'namespace'],
  ])('createLocks(%j)', async (given, path) => {
    const failure = await createLocks({ nodes: NOWHERE, ...given }).catch(
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(InvalidOptionError);
    expect(failure).toMatchObject({ path });
  });

  test('createCache({ lock }) knows no quorum: its nodes are those of the ring', async () => {
    const lock = options({ quorum: true });
    await expect(createCache({ nodes: NOWHERE, lock })).rejects.toMatchObject({
      path: 'lock.quorum',
    });
  });

  test.each([1, 2, 4])('a quorum of %i nodes', async (count) => {
    const nodes = NOWHERE.slice(0, count);
    const failure = await createLocks({ nodes, quorum: true }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ path: 'nodes.length' });
    expect(String(failure)).toContain('an odd number of at least 3 with quorum');
  });

  test.each([3, 5])('but not one of %i', (count) => {
    const nodes = NOWHERE.slice(0, count);
    expect(resolveLocksOptions({ nodes, quorum: true }).quorum).toBe(true);
  });
});

describe('names are refused before a node is asked', () => {
  const bad: [string, unknown][] = [
    ['empty', ''],
    ['longer than 1,024 bytes', 'x'.repeat(1_025)],
    ['longer in UTF-8', '€'.repeat(342)],
    ['with a lone surrogate', 'a\ud800'],
    ['a number', 7],
    ['null', null],
    ['undefined', undefined],
    ['an array', ['a']],
  ];
  test.each(bad)('%s', async (_, given) => {
    const { homes, locks } = locksByHand(new FakeClock());
    const name = given as string;
    const work = () => Promise.resolve();
    const calls = [
      locks.acquire(name),
      locks.tryAcquire(name),
      locks.using(name, {}, work),
      locks.tryUsing(name, {}, work),
      locks.acquireAll(['fine', name]),
      locks.inspect(name),
    ];
    for (const call of calls) {
      const failure = await call.catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(InvalidKeyError);
      expect(String(failure)).toContain('the name of a lock must be a well-formed string');
    }
    expect(homes.asked).toEqual([]);
  });

  test('a name of 1,024 bytes is none of these', async () => {
    const { locks } = locksByHand(new FakeClock());
    const lock = await locks.acquire(`${'€'.repeat(341)}x`);
    expect(lock.held).toBe(true);
    await lock.release();
  });

  test.each([[[]], ['a'], [undefined], [null]])('acquireAll(%j)', async (names) => {
    const { locks } = locksByHand(new FakeClock());
    const failure = locks.acquireAll(names as unknown as string[]);
    await expect(failure).rejects.toMatchObject({ path: 'names' });
  });

  test.each(['using', 'tryUsing'] as const)('%s without work', async (method) => {
    const { homes, locks } = locksByHand(new FakeClock());
    const work = undefined as unknown as () => Promise<void>;
    await expect(locks[method]('l', {}, work)).rejects.toMatchObject({ path: 'work' });
    expect(homes.asked).toEqual([]);
  });

  test('options of a call', async () => {
    const { homes, locks } = locksByHand(new FakeClock());
    await expect(locks.acquire('l', { ttl: -1 })).rejects.toThrow(InvalidOptionError);
    await expect(locks.acquireAll(['l'], options({ wait: 1 }))).rejects.toMatchObject({
      path: 'wait',
    });
    await expect(locks.tryAcquire('l', options({ wait: 1 }))).rejects.toMatchObject({
      path: 'wait',
    });
    expect(homes.asked).toEqual([]);
  });

  test('and a signal that is aborted already', async () => {
    const { homes, locks } = locksByHand(new FakeClock());
    const signal = AbortSignal.abort(new Error('before'));
    await expect(locks.acquire('l', { signal })).rejects.toThrow('before');
    await expect(locks.tryAcquire('l', { signal })).rejects.toThrow('before');
    expect(homes.asked).toEqual([]);
  });
});

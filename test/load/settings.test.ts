import { afterEach, describe, expect, test, vi } from 'vitest';
import { InvalidOptionError } from '../../src/errors.ts';
import {
  type EntryOptions,
  type EntrySettings,
  entrySettings,
  isDueEarly,
  lifeOf,
} from '../../src/load/settings.ts';

const DEFAULTS: EntrySettings = {
  ttlMs: 3_600_000,
  staleMs: 60_000,
  negativeTtlMs: 30_000,
  jitter: 0.1,
  memory: true,
};

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the options of a call', () => {
  test('that are absent are the defaults, as the same object', () => {
    expect(entrySettings(DEFAULTS, undefined)).toBe(DEFAULTS);
    expect(entrySettings(DEFAULTS, {})).toEqual(DEFAULTS);
  });

  test('that are given go before the defaults', () => {
    const given = { ttl: '5s', staleTtl: 7, negativeTtl: '2m', jitter: 0, memory: false };
    expect(entrySettings(DEFAULTS, given)).toEqual({
      ttlMs: 5_000,
      staleMs: 7,
      negativeTtlMs: 120_000,
      jitter: 0,
      memory: false,
    });
  });

  test('say nothing of null: it lives as long as the other values of the call', () => {
    expect(entrySettings(DEFAULTS, { ttl: 1_000 }).negativeTtlMs).toBe(1_000);
    expect(entrySettings(DEFAULTS, { staleTtl: 1 }).negativeTtlMs).toBe(30_000);
    expect(entrySettings(DEFAULTS, { ttl: 1_000, negativeTtl: 5 }).negativeTtlMs).toBe(5);
  });

  test('that do not exist are refused by name', () => {
    const misspelt = { tll: '5m' } as EntryOptions;
    expect(() => entrySettings(DEFAULTS, misspelt)).toThrow(/^tll must be absent/);
  });

  const durations = [-1, Number.NaN, Number.POSITIVE_INFINITY, 1e18, '10', '5 m', '-1s', '', null];
  const bad: [keyof EntryOptions, unknown][] = [
    ...(['ttl', 'staleTtl', 'negativeTtl'] as const).flatMap((name) =>
      [...durations, true, {}, []].map((given): [typeof name, unknown] => [name, given]),
    ),
    ['ttl', 0],
    ['ttl', 0.5],
    ['negativeTtl', 0],
    ...[-0.1, 1.1, Number.NaN, Number.POSITIVE_INFINITY, '0.1', null, true].map(
      (given): ['jitter', unknown] => ['jitter', given],
    ),
    ...['false', 0, 1, null, {}].map((given): ['memory', unknown] => ['memory', given]),
    ...['abort', null, {}, 1].map((given): ['signal', unknown] => ['signal', given]),
  ];

  test.each(bad)('%s: %j is refused by name', (name, given) => {
    const options = { [name]: given } as EntryOptions;
    expect(() => entrySettings(DEFAULTS, options)).toThrow(InvalidOptionError);
    expect(() => entrySettings(DEFAULTS, options)).toThrow(new RegExp(`^${name} must be `));
  });

  test.each([null, 5, 'ttl', true])('that are %j are refused', (given) => {
    expect(() => entrySettings(DEFAULTS, given as EntryOptions)).toThrow(InvalidOptionError);
  });

  test.each([
    [{ ttl: 1 }, { ttlMs: 1 }],
    [{ staleTtl: 0 }, { staleMs: 0 }],
    [{ negativeTtl: 1 }, { negativeTtlMs: 1 }],
    [{ jitter: 1 }, { jitter: 1 }],
  ])('may be at the end of their range: %j', (given, expected) => {
    expect(entrySettings(DEFAULTS, given)).toMatchObject(expected);
  });

  test('that are undefined are absent', () => {
    const given = { ttl: undefined, jitter: undefined, memory: undefined, signal: undefined };
    expect(entrySettings(DEFAULTS, given as unknown as EntryOptions)).toEqual(DEFAULTS);
  });
});

describe('the life of a value', () => {
  test('is only ever shortened, by no more than the jitter', () => {
    const lives = Array.from({ length: 10_000 }, () => {
      return lifeOf({ ...DEFAULTS, jitter: 0.25 }, 'value', { loadMs: 0 }).ttlMs;
    });
    expect(Math.max(...lives)).toBeLessThanOrEqual(DEFAULTS.ttlMs);
    expect(Math.min(...lives)).toBeGreaterThanOrEqual(DEFAULTS.ttlMs * 0.75);
    // And by all of it: the draws reach both ends to within a hundredth of the range.
    expect(Math.max(...lives)).toBeGreaterThan(DEFAULTS.ttlMs * 0.9975);
    expect(Math.min(...lives)).toBeLessThan(DEFAULTS.ttlMs * 0.7525);
  });

  test('is never below a millisecond, and whole', () => {
    for (let i = 0; i < 10_000; i++) {
      const { ttlMs } = lifeOf({ ...DEFAULTS, ttlMs: 1.5, jitter: 1 }, 'value', { loadMs: 0 });
      expect(ttlMs === 1 || ttlMs === 2).toBe(true);
    }
  });

  test('without jitter is the ttl', () => {
    expect(lifeOf({ ...DEFAULTS, jitter: 0 }, 'value', { loadMs: 12 })).toEqual({
      ttlMs: DEFAULTS.ttlMs,
      staleMs: DEFAULTS.staleMs,
      loadMs: 12,
    });
  });

  test.each([
    { value: null, ttlMs: DEFAULTS.negativeTtlMs },
    { value: 0, ttlMs: DEFAULTS.ttlMs },
    { value: '', ttlMs: DEFAULTS.ttlMs },
    { value: false, ttlMs: DEFAULTS.ttlMs },
  ])('of $value is $ttlMs', ({ value, ttlMs }) => {
    expect(lifeOf({ ...DEFAULTS, jitter: 0 }, value, { loadMs: 0 }).ttlMs).toBe(ttlMs);
  });

  test('is what the loader said, for null as well', () => {
    const said = { loadMs: 0, ttlMs: 77 };
    expect(lifeOf({ ...DEFAULTS, jitter: 0 }, null, said).ttlMs).toBe(77);
    expect(lifeOf({ ...DEFAULTS, jitter: 0 }, 'value', said).ttlMs).toBe(77);
  });
});

describe('an early refresh', () => {
  const DRAWS = 20_000;

  function share(beta: number, entry: { loadMs: number; freshForMs: number }): number {
    let due = 0;
    for (let i = 0; i < DRAWS; i++) if (isDueEarly(beta, entry)) due++;
    return due / DRAWS;
  }

  // P(-beta × load × ln U ≥ left) = exp(-left / (beta × load)).
  test.each([
    { beta: 1, loadMs: 100, freshForMs: 100 },
    { beta: 1, loadMs: 100, freshForMs: 50 },
    { beta: 1, loadMs: 100, freshForMs: 300 },
    { beta: 2, loadMs: 100, freshForMs: 100 },
    { beta: 0.5, loadMs: 100, freshForMs: 100 },
  ])('is as probable as XFetch says: %j', ({ beta, loadMs, freshForMs }) => {
    const expected = Math.exp(-freshForMs / (beta * loadMs));
    // Five standard deviations: fails by chance in one run of two million.
    const tolerance = 5 * Math.sqrt((expected * (1 - expected)) / DRAWS);
    expect(Math.abs(share(beta, { loadMs, freshForMs }) - expected)).toBeLessThan(tolerance);
  });

  test('never happens when it is off, nor for what cost nothing to load', () => {
    expect(share(0, { loadMs: 1_000, freshForMs: 1 })).toBe(0);
    expect(share(1, { loadMs: 0, freshForMs: 1 })).toBe(0);
  });

  test('is certain at the end', () => {
    expect(share(1, { loadMs: 100, freshForMs: 0 })).toBe(1);
  });

  test('comes about for a draw of 0 as well', () => {
    vi.spyOn(Math, 'random').mockReturnValue(0);
    expect(isDueEarly(1, { loadMs: 1, freshForMs: 1e12 })).toBe(true);
  });
});

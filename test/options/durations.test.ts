import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { durationMs, durationRule, MAX_DURATION_MS, requireDuration } from '../../src/duration.ts';
import { InvalidOptionError } from '../../src/errors.ts';

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

describe('a duration', () => {
  test.each([
    [0, 0],
    [1_500, 1_500],
    [0.5, 0.5],
    ['1500ms', 1_500],
    ['30s', 30_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['1.5h', 5_400_000],
    ['0s', 0],
    ['007s', 7_000],
    ['36500d', MAX_DURATION_MS],
    [MAX_DURATION_MS, MAX_DURATION_MS],
  ])('%o is %d ms', (given, ms) => {
    expect(durationMs(given)).toBe(ms);
    expect(requireDuration(given, 'ttl')).toBe(ms);
  });

  test.each([
    [''],
    ['10'],
    ['5 m'],
    ['-1s'],
    ['+1s'],
    ['5S'],
    ['5sec'],
    ['s'],
    ['.5s'],
    ['5.s'],
    ['1e3s'],
    ['0x10s'],
    ['1,5s'],
    ['1h30m'],
    [' 5s'],
    ['5s\n'],
    ['Infinityms'],
    ['NaNs'],
    ['36501d'],
    [`${'9'.repeat(400)}s`],
    [-1],
    [-0.001],
    [Number.NaN],
    [Number.POSITIVE_INFINITY],
    [MAX_DURATION_MS + 1],
    [1e18],
    [null],
    [undefined],
    [true],
    [10n],
    [{}],
    [['5s']],
    [new Date(0)],
    [{ valueOf: () => 5 }],
    [Symbol('5s')],
    [() => 5],
  ])('%s is none', (given) => {
    expect(durationMs(given)).toBeUndefined();
    expect(() => requireDuration(given, 'load.timeout')).toThrow(InvalidOptionError);
  });

  test('with any unit is as many milliseconds as the unit has', () => {
    const unit = fc.constantFrom(...(Object.keys(UNIT_MS) as (keyof typeof UNIT_MS)[]));
    fc.assert(
      fc.property(fc.nat(36_500), unit, (count, name) => {
        expect(durationMs(`${count}${name}`)).toBe(count * UNIT_MS[name]);
      }),
    );
  });

  test('is never negative, endless or not a number, whatever is given', () => {
    fc.assert(
      fc.property(fc.anything(), (given) => {
        const ms = durationMs(given);
        if (ms !== undefined) expect(ms >= 0 && ms <= MAX_DURATION_MS).toBe(true);
      }),
    );
  });
});

test('one that is needed has a least, and says which, where and what was given', () => {
  expect(requireDuration(1, 'ttl', 1)).toBe(1);
  expect(() => requireDuration(0, 'memory.ttl', 1)).toThrow(
    `memory.ttl must be ${durationRule(1)}, but was given 0`,
  );
  expect(() => requireDuration('5 m', 'memory.ttl')).toThrow('was given "5 m"');
});

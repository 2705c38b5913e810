import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { namespacePrefix } from '../../src/cache/namespaced.ts';
import { InvalidKeyError, InvalidOptionError } from '../../src/errors.ts';
import { checkKey, checkKeys, MAX_KEY_BYTES } from '../../src/keys.ts';

const high = String.fromCharCode(0xd800);
const low = String.fromCharCode(0xdc00);

describe('a key', () => {
  test.each([
    ['a'],
    ['user:1'],
    ['\r\n'],
    ['\0'],
    [' '],
    ['*'],
    ['__proto__'],
    ['{tag}'],
    ['é'.normalize('NFC')],
    ['é'.normalize('NFD')],
    [high + low],
    ['x'.repeat(MAX_KEY_BYTES)],
    ['ä'.repeat(MAX_KEY_BYTES / 2)],
    [`${'€'.repeat(341)}x`],
    ['😀'.repeat(MAX_KEY_BYTES / 4)],
  ])('may be %j', (key) => {
    expect(() => checkKey(key)).not.toThrow();
  });

  test.each([
    ['', 'empty'],
    ['x'.repeat(MAX_KEY_BYTES + 1), 'longer'],
    [`${'ä'.repeat(MAX_KEY_BYTES / 2)}x`, 'longer'],
    ['€'.repeat(342), 'longer'],
    [`${'😀'.repeat(MAX_KEY_BYTES / 4)}x`, 'longer'],
    ['x'.repeat(5_000_000), 'longer'],
    [`x${high}`, 'surrogate'],
    [low, 'surrogate'],
    [low + high, 'surrogate'],
    [`${high}x`, 'surrogate'],
    [null, 'null'],
    [undefined, 'undefined'],
    [5, 'number'],
    [Number.NaN, 'number'],
    [true, 'boolean'],
    [10n, 'bigint'],
    [Symbol('a'), 'symbol'],
    [() => 'a', 'function'],
    [['a'], 'an array'],
    [['a', 'b'], 'an array'],
    [{ toString: () => 'a' }, 'object'],
    [new String('a'), 'object'],
    [new Date(0), 'object'],
    [Buffer.from('a'), 'object'],
  ])('may not be %s', (key, why) => {
    expect(() => checkKey(key)).toThrow(InvalidKeyError);
    expect(() => checkKey(key)).toThrow(why);
    expect(() => checkKeys(['fine', key])).toThrow(why);
  });

  test('is allowed exactly when its UTF-8 is 1 to 1,024 bytes and reads back the same', () => {
    const key = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 1_100, size: 'max' }),
      fc.string({ unit: 'binary-ascii', maxLength: 1_100, size: 'max' }),
      fc
        .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 })
        .map((units) => String.fromCharCode(...units)),
    );
    fc.assert(
      fc.property(key, (given) => {
        const bytes = Buffer.from(given);
        const fits = bytes.length >= 1 && bytes.length <= 1_024 && bytes.toString() === given;
        if (fits) checkKey(given);
        else expect(() => checkKey(given)).toThrow(InvalidKeyError);
      }),
    );
  });

  test('that is refused is shown short and on one line', () => {
    const refused = (): void => checkKey(`${'\n'.repeat(600)}${'x'.repeat(600)}`);
    try {
      refused();
    } catch (error) {
      expect(String(error)).not.toContain('\n');
      expect(String(error).length).toBeLessThan(250);
    }
    expect(refused).toThrow(InvalidKeyError);
  });
});

test.each([[undefined], [null], ['a'], [{ length: 1, 0: 'a' }], [new Set(['a'])]])(
  'keys must be an array, not %o',
  (keys) => {
    expect(() => checkKeys(keys)).toThrow(InvalidKeyError);
  },
);

test('a hole in the keys is no key', () => {
  const keys = ['a', 'b', 'c'];
  delete keys[1];
  expect(() => checkKeys(keys)).toThrow('undefined');
});

test('no keys are fine', () => {
  expect(() => checkKeys([])).not.toThrow();
});

describe('the name of a namespace', () => {
  test.each(['users', 'a.b_c:d-e', 'x'.repeat(64)])('may be %s', (name) => {
    expect(namespacePrefix(name)).toBe(`${name}:`);
  });

  test.each(['', 'a b', 'ä', 'a/b', 'a\n', '{a}', 'x'.repeat(65), null, undefined, 5, ['a']])(
    'may not be %j',
    (name) => {
      expect(() => namespacePrefix(name)).toThrow(InvalidOptionError);
    },
  );
});

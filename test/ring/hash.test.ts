import { beforeAll, describe, expect, test } from 'vitest';
import { hash32, hashKey, hashPoints, loadHash, placementPart } from '../../src/ring/hash.ts';

beforeAll(() => loadHash());

describe('hash32', () => {
  // The first from xxHash's own sanity test; the others are the texts that the
  // ports to other languages are checked with.
  test.each([
    ['', 0x02cc5d05],
    ['a', 0x550d7456],
    ['as', 0x9d5a0464],
    ['asd', 0x3d83552b],
    ['asdf', 0x5e702c32],
    ['abc', 0x32d153ff],
    ['Nobody inspects the spammish repetition', 0xe2293b2f],
    ['Call me Ishmael. Some years ago--never mind how long precisely-', 0x6f320359],
  ])('xxh32 of %j is the published one', (text, expected) => {
    expect(hash32(text)).toBe(expected);
  });

  test('is never negative and stays within 32 bits', () => {
    for (let i = 0; i < 1_000; i++) {
      const hash = hash32(`key ${i}`);
      expect(Number.isInteger(hash) && hash >= 0 && hash <= 0xffffffff).toBe(true);
    }
  });

  test('a text beyond the first page of memory is hashed whole', () => {
    const long = 'x'.repeat(200_000);
    expect(hash32(`${long}a`)).not.toBe(hash32(`${long}b`));
    expect(hash32('abc')).toBe(0x32d153ff);
  });
});

describe('placementPart', () => {
  // The examples of the Redis Cluster specification, and the corners around them.
  test.each([
    ['{user1000}.following', 'user1000'],
    ['{user1000}.followers', 'user1000'],
    ['foo{}{bar}', 'foo{}{bar}'],
    ['foo{{bar}}zap', '{bar'],
    ['foo{bar}{zap}', 'bar'],
    ['{a}', 'a'],
    ['x{a', 'x{a'],
    ['a}b', 'a}b'],
    ['}{a}', 'a'],
    ['}{', '}{'],
    ['{}', '{}'],
    ['', ''],
    ['plain', 'plain'],
  ])('of %j is %j', (key, part) => {
    expect(placementPart(key)).toBe(part);
    expect(hashKey(key) >>> 0).toBe(hash32(part));
  });
});

test('the points of two nodes never come from the same text', () => {
  // Without a separator 'n1' + '1' and 'n' + '11' are one text.
  expect(hashPoints('n', 12)[11]).not.toBe(hashPoints('n1', 2)[1]);
  expect(hashPoints('n1', 2)).toEqual(new Float64Array([hash32('n1#0'), hash32('n1#1')]));
});

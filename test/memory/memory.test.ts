import { describe, expect, test } from 'vitest';
import { Memory } from '../../src/memory/memory.ts';
import { advance, clock, memoryOf, put, STRIPE } from './subject.ts';

describe('bounds', () => {
  test('one entry more than maxEntries pushes out the least recently used', () => {
    const memory = memoryOf({ maxEntries: 3 });
    for (const key of ['a', 'b', 'c']) put(memory, key, key);
    expect(memory.get('a')).toBe('a');
    put(memory, 'd', 'd');
    expect(memory.size().entries).toBe(3);
    expect(memory.get('b')).toBeUndefined();
    expect(['a', 'c', 'd'].map((key) => memory.get(key))).toEqual(['a', 'c', 'd']);
  });

  test('values and keys beyond maxBytes push out the least recently used', () => {
    const memory = memoryOf({ maxBytes: 100 });
    put(memory, 'aa', 1, { bytes: 48 });
    put(memory, 'bb', 2, { bytes: 48 });
    expect(memory.size()).toEqual({ entries: 2, bytes: 100 });
    // The byte that is one too many is the key's.
    put(memory, 'c', 3, { bytes: 0 });
    expect(memory.get('aa')).toBeUndefined();
    expect(memory.get('bb')).toBe(2);
    expect(memory.size()).toEqual({ entries: 2, bytes: 51 });
  });

  test('a value larger than all of maxBytes is not held, and says so', () => {
    const memory = memoryOf({ maxBytes: 100 });
    put(memory, 'kept', 1, { bytes: 10 });
    expect(put(memory, 'large', 2, { bytes: 200 })).toBe(false);
    expect(memory.get('large')).toBeUndefined();
    expect(memory.get('kept')).toBe(1);
  });

  test('a value too large to be held does not leave an older one in its place', () => {
    const memory = memoryOf({ maxBytes: 100 });
    put(memory, 'key', 'old', { bytes: 10 });
    put(memory, 'key', 'new', { bytes: 200 });
    expect(memory.get('key')).toBeUndefined();
  });

  test('putting a key again counts it once', () => {
    const memory = memoryOf();
    put(memory, 'key', 1, { bytes: 10 });
    put(memory, 'key', 2, { bytes: 20 });
    expect(memory.size()).toEqual({ entries: 1, bytes: 23 });
  });
});

describe('an entry lives', () => {
  test.each([
    { why: 'what is left of its own life', forMs: 300, tuning: {}, lives: 300 },
    { why: 'the ttl of the memory', forMs: 60_000, tuning: {}, lives: 1_000 },
    { why: 'maxStale', forMs: 60_000, tuning: { maxStaleMs: 200 }, lives: 200 },
    { why: 'a part of a millisecond less', forMs: 300.9, tuning: {}, lives: 300 },
  ])('no longer than $why', ({ forMs, tuning, lives }) => {
    const memory = memoryOf(tuning);
    put(memory, 'key', 'value', { forMs });
    advance(lives);
    expect(memory.get('key')).toBe('value');
    advance(1);
    expect(memory.get('key')).toBeUndefined();
  });

  test('not longer because it is read', () => {
    const memory = memoryOf();
    put(memory, 'key', 'value');
    for (let i = 0; i < 10; i++) {
      advance(100);
      expect(memory.get('key')).toBe('value');
    }
    advance(1);
    expect(memory.get('key')).toBeUndefined();
  });

  test.each([0, 0.5, -1, Number.NaN, Number.NEGATIVE_INFINITY])(
    'not at all with %d ms left',
    (forMs) => {
      const memory = memoryOf();
      expect(put(memory, 'key', 'value', { forMs })).toBe(false);
      expect(memory.get('key')).toBeUndefined();
    },
  );

  test('not for ever when its life has no end', () => {
    const memory = memoryOf();
    put(memory, 'key', 'value', { forMs: Number.POSITIVE_INFINITY });
    advance(1_001);
    expect(memory.get('key')).toBeUndefined();
  });

  test('not for ever when a bound of the memory is below a millisecond', () => {
    const memory = memoryOf({ ttlMs: 0.5 });
    expect(put(memory, 'key', 'value')).toBe(false);
    expect(memory.get('key')).toBeUndefined();
  });
});

describe('tickets', () => {
  test('an answer asked for before a forget is refused', () => {
    const memory = memoryOf();
    const ticket = memory.ticket(7);
    memory.forget('key', 7);
    expect(put(memory, 'key', 'old', { ticket })).toBe(false);
    expect(memory.get('key')).toBeUndefined();
  });

  test('an answer asked for after a forget is held', () => {
    const memory = memoryOf();
    memory.forget('key', 7);
    expect(put(memory, 'key', 'new')).toBe(true);
    expect(memory.get('key')).toBe('new');
  });

  test('a forget removes what is held', () => {
    const memory = memoryOf();
    put(memory, 'key', 'old');
    memory.forget('key', 7);
    expect(memory.get('key')).toBeUndefined();
  });

  test('two keys that share a ticket cost each other a put, and never show what was forgotten', () => {
    const memory = memoryOf();
    put(memory, 'other', 'stays', { hash: 7 + STRIPE });
    const ticket = memory.ticket(7 + STRIPE);
    memory.forget('key', 7);
    expect(put(memory, 'other', 'newer', { hash: 7 + STRIPE, ticket })).toBe(false);
    expect(memory.get('other')).toBe('stays');
    expect(memory.get('key')).toBeUndefined();
  });

  test('a forget leaves the tickets of other keys', () => {
    const memory = memoryOf();
    const ticket = memory.ticket(8);
    memory.forget('key', 7);
    expect(put(memory, 'other', 1, { hash: 8, ticket })).toBe(true);
  });

  test.each([-1, -(2 ** 31), 2 ** 31 - 1, 2 ** 32 - 1])('a hash of %d has one too', (hash) => {
    const memory = memoryOf();
    const ticket = memory.ticket(hash);
    expect(put(memory, 'key', 1, { hash, ticket })).toBe(true);
    memory.forget('key', hash);
    expect(put(memory, 'key', 1, { hash, ticket })).toBe(false);
  });

  test('forgetting works without a memory, too', () => {
    const memory = new Memory(false, clock);
    expect(() => memory.forget('key', 7)).not.toThrow();
  });
});

describe('drop', () => {
  test('takes all that came from a node, and nothing else', () => {
    const memory = memoryOf();
    put(memory, 'one', 1, { node: 'a' });
    put(memory, 'two', 2, { node: 'b' });
    memory.follow((key) => (key === 'one' ? 'a' : 'b'));
    memory.drop('a');
    expect(memory.get('one')).toBeUndefined();
    expect(memory.get('two')).toBe(2);
  });

  test('does not touch the entries: it is one step, however many there are', () => {
    const memory = memoryOf();
    for (let i = 0; i < 50; i++) put(memory, `key${i}`, i);
    memory.drop('a');
    // They are found to be void when they are read.
    expect(memory.size().entries).toBe(50);
    expect(memory.get('key1')).toBeUndefined();
    expect(memory.size().entries).toBe(49);
  });

  test('takes entries that came before owners changed', () => {
    const memory = memoryOf();
    memory.follow(() => 'a');
    put(memory, 'before', 1);
    memory.follow(() => 'a');
    put(memory, 'between', 2);
    memory.follow(() => 'a');
    memory.drop('a');
    put(memory, 'after', 3);
    expect(['before', 'between', 'after'].map((key) => memory.get(key))).toEqual([
      undefined,
      undefined,
      3,
    ]);
  });

  test('takes entries that came before it though owners change afterwards', () => {
    const memory = memoryOf();
    memory.follow(() => 'a');
    put(memory, 'key', 'old');
    memory.drop('a');
    memory.follow(() => 'a');
    expect(memory.get('key')).toBeUndefined();
  });

  test('of a node that nothing came from does nothing', () => {
    const memory = memoryOf();
    put(memory, 'key', 1);
    memory.drop('unknown');
    expect(memory.get('key')).toBe(1);
  });

  test('what comes from the node afterwards is held', () => {
    const memory = memoryOf();
    memory.drop('a');
    memory.drop('a');
    put(memory, 'key', 1);
    expect(memory.get('key')).toBe(1);
  });
});

describe('follow', () => {
  test('entries whose owner has changed vanish, and the others stay', () => {
    const memory = memoryOf();
    memory.follow(() => 'a');
    put(memory, 'moves', 1);
    put(memory, 'stays', 2);
    memory.follow((key) => (key === 'moves' ? 'b' : 'a'));
    expect(memory.get('moves')).toBeUndefined();
    expect(memory.get('stays')).toBe(2);
  });

  test('an entry whose key moved away and back is not shown, though nobody read it between', () => {
    // Meanwhile it was changed where this process was told nothing of it.
    const memory = memoryOf();
    memory.follow(() => 'a');
    put(memory, 'key', 1);
    memory.follow(() => 'b');
    memory.follow(() => 'a');
    expect(memory.get('key')).toBeUndefined();
  });

  test('an entry that nobody read during many changes is not shown', () => {
    const memory = memoryOf();
    memory.follow(() => 'a');
    put(memory, 'read', 1);
    put(memory, 'unread', 2);
    for (let i = 0; i < 8; i++) memory.follow(() => 'a');
    expect(memory.get('read')).toBe(1);
    memory.follow(() => 'a');
    expect(memory.get('read')).toBe(1);
    expect(memory.get('unread')).toBeUndefined();
  });

  test('what came from a node whose floor has risen vanishes, and nothing else', () => {
    const memory = memoryOf();
    const ownerOf = (key: string): string => key;
    memory.follow(ownerOf, { a: 3 });
    put(memory, 'a', 1, { node: 'a' });
    put(memory, 'b', 2, { node: 'b' });
    memory.follow(ownerOf, { a: 3 });
    expect(memory.get('a')).toBe(1);
    memory.follow(ownerOf, { a: 4 });
    expect(memory.get('a')).toBeUndefined();
    expect(memory.get('b')).toBe(2);
    put(memory, 'a', 3, { node: 'a' });
    memory.follow(ownerOf, { a: 4 });
    expect(memory.get('a')).toBe(3);
  });

  test('an answer that was asked of the previous owner is refused', () => {
    const memory = memoryOf();
    memory.follow(() => 'a');
    const ticket = memory.ticket(7);
    memory.follow(() => 'b');
    expect(put(memory, 'key', 'old', { ticket })).toBe(false);
  });

  test('an entry that stays does not live longer', () => {
    const memory = memoryOf();
    memory.follow(() => 'a');
    put(memory, 'key', 1);
    advance(600);
    memory.follow(() => 'a');
    expect(memory.get('key')).toBe(1);
    advance(401);
    expect(memory.get('key')).toBeUndefined();
  });
});

test.each([[null], [0], [''], [false]])('a held %j is a hit', (value) => {
  const memory = memoryOf();
  expect(put(memory, 'key', value)).toBe(true);
  expect(memory.get('key')).toBe(value);
});

test('what is read is the same object that was put', () => {
  const memory = memoryOf();
  const value = { a: 1 };
  put(memory, 'key', value);
  expect(memory.get('key')).toBe(value);
});

test('a memory that is off holds nothing', () => {
  const memory = new Memory(false, clock);
  expect(put(memory, 'key', 1)).toBe(false);
  expect(memory.get('key')).toBeUndefined();
  expect(memory.size()).toEqual({ entries: 0, bytes: 0 });
  expect(() => {
    memory.drop('a');
    memory.follow(() => 'a');
    memory.clear();
  }).not.toThrow();
});

test('clear removes everything', () => {
  const memory = memoryOf();
  put(memory, 'key', 1);
  memory.clear();
  expect(memory.get('key')).toBeUndefined();
  expect(memory.size()).toEqual({ entries: 0, bytes: 0 });
});

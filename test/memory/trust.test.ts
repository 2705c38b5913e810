/** What keeps memory from showing for longer than maxStale what others have changed. */
import { describe, expect, test } from 'vitest';
import type { Memory } from '../../src/memory/memory.ts';
import type { MemoryTuning } from '../../src/memory/settings.ts';
import { advance, clock, memoryOf, put } from './subject.ts';

describe('a node that is tracked', () => {
  const tracked = (tuning: Partial<MemoryTuning> = {}): Memory => {
    const memory = memoryOf({ ttlMs: 60_000, maxStaleMs: 1_000, ...tuning });
    memory.track('a');
    memory.heard('a', clock.ms);
    return memory;
  };

  test('has its entries kept for longer than maxStale, as long as it is heard from', () => {
    const memory = tracked();
    put(memory, 'key', 1);
    for (let i = 0; i < 10; i++) {
      advance(900);
      memory.heard('a', clock.ms);
      expect(memory.get('key')).toBe(1);
    }
  });

  test('has nothing shown maxStale after it was heard from, and all again when it is', () => {
    const memory = tracked();
    put(memory, 'key', 1);
    advance(999);
    expect(memory.get('key')).toBe(1);
    advance(1);
    expect(memory.get('key')).toBeUndefined();
    memory.heard('a', clock.ms - 1_000);
    expect(memory.get('key')).toBeUndefined();
    memory.heard('a', clock.ms - 1);
    expect(memory.get('key')).toBe(1);
  });

  test('has what came while it was not heard from shown when it is', () => {
    const memory = tracked();
    advance(2_000);
    put(memory, 'key', 1);
    expect(memory.get('key')).toBeUndefined();
    memory.heard('a', clock.ms);
    expect(memory.get('key')).toBe(1);
  });

  test('has nothing shown after owners changed while it was not heard from', () => {
    const memory = tracked();
    memory.follow(() => 'a');
    put(memory, 'key', 1);
    advance(2_000);
    memory.follow(() => 'a');
    expect(memory.get('key')).toBeUndefined();
    memory.heard('a', clock.ms);
    expect(memory.get('key')).toBe(1);
  });

  test('is judged by itself: another that is heard from keeps its entries', () => {
    const memory = tracked();
    memory.track('b');
    memory.heard('b', clock.ms);
    put(memory, 'one', 1, { node: 'a' });
    put(memory, 'two', 2, { node: 'b' });
    advance(999);
    memory.heard('b', clock.ms);
    advance(1);
    expect(memory.get('one')).toBeUndefined();
    expect(memory.get('two')).toBe(2);
    advance(999);
    expect(memory.get('two')).toBeUndefined();
  });

  test('begins with nothing from before', () => {
    const memory = memoryOf({ maxStaleMs: 1_000 });
    const ticket = memory.ticket(7);
    put(memory, 'key', 1);
    memory.track('a');
    memory.heard('a', clock.ms);
    expect(memory.get('key')).toBeUndefined();
    expect(put(memory, 'key', 1, { ticket })).toBe(false);
  });

  test('that is not any more is trusted for as long as it would have been, and no longer', () => {
    const memory = tracked();
    const ticket = memory.ticket(7);
    put(memory, 'key', 1);
    advance(400);
    memory.untrack('a');
    expect(put(memory, 'late', 1, { ticket })).toBe(false);
    advance(599);
    expect(memory.get('key')).toBe(1);
    advance(1);
    expect(memory.get('key')).toBeUndefined();
    // Whatever comes of the node later.
    memory.track('a');
    memory.heard('a', clock.ms);
    expect(memory.get('key')).toBeUndefined();
  });

  test.each([
    ['it is told of again', (memory: Memory) => memory.track('a')],
    ['it is dropped', (memory: Memory) => memory.drop('a')],
    ['owners change', (memory: Memory) => memory.follow(() => 'a')],
  ])('that is not any more is trusted no longer when %s', (_, act) => {
    const memory = tracked();
    memory.follow(() => 'a');
    put(memory, 'key', 1);
    memory.untrack('a');
    expect(memory.get('key')).toBe(1);
    act(memory);
    expect(memory.get('key')).toBeUndefined();
  });

  test('that is not any more has entries that live for maxStale, from when it was asked', () => {
    const memory = tracked();
    memory.untrack('a');
    put(memory, 'key', 1, { agedMs: 300 });
    advance(700);
    expect(memory.get('key')).toBe(1);
    advance(1);
    expect(memory.get('key')).toBeUndefined();
    expect(put(memory, 'key', 1, { agedMs: 1_000 })).toBe(false);
  });

  test('has what it does not have itself kept for maxStale: nobody tells of a delete of it', () => {
    const memory = tracked();
    put(memory, 'key', 1, { notAtNode: true, agedMs: 400 });
    memory.heard('a', clock.ms + 10_000);
    advance(600);
    expect(memory.get('key')).toBe(1);
    advance(1);
    expect(memory.get('key')).toBeUndefined();
  });

  test('drops what is on its way when all of it was flushed', () => {
    const memory = tracked();
    const ticket = memory.ticket(7);
    memory.drop('a');
    expect(put(memory, 'key', 1, { ticket })).toBe(false);
  });
});

describe('within one turn of the event loop', () => {
  test('time is looked at after every 16 reads: a process may be stopped at any place', () => {
    const memory = memoryOf({ ttlMs: 60_000, maxStaleMs: 1_000 });
    memory.track('a');
    memory.heard('a', clock.ms);
    put(memory, 'key', 1);
    clock.ms += 5_000;
    const shown = Array.from({ length: 100 }, () => memory.get('key')).filter((v) => v === 1);
    expect(shown).toHaveLength(15);
  });

  test('and at the first read of the next turn', () => {
    const memory = memoryOf({ ttlMs: 60_000, maxStaleMs: 1_000 });
    memory.track('a');
    memory.heard('a', clock.ms);
    put(memory, 'key', 1);
    clock.endTurn();
    clock.ms += 5_000;
    expect(memory.get('key')).toBeUndefined();
  });

  test('a turn without reads costs nothing', () => {
    const memory = memoryOf();
    put(memory, 'key', 1);
    clock.endTurn();
    expect(clock.afterTurn).toEqual([]);
    memory.get('key');
    memory.get('key');
    expect(clock.afterTurn).toHaveLength(1);
  });
});

describe('what this process wrote itself', () => {
  const setUp = (): Memory => {
    const memory = memoryOf({ ttlMs: 60_000, maxStaleMs: 1_000 });
    memory.track('a');
    memory.heard('a', clock.ms);
    return memory;
  };

  test.each(['before', 'after'])('is held though it is told of once, %s its answer', (when) => {
    const memory = setUp();
    const own = memory.writes('key');
    if (when === 'before') memory.told('key', 7);
    expect(put(memory, 'key', 1, { ticket: own })).toBe(true);
    memory.wrote(own);
    if (when === 'after') memory.told('key', 7);
    expect(memory.get('key')).toBe(1);
    // The second is about a write of somebody else.
    memory.told('key', 7);
    expect(memory.get('key')).toBeUndefined();
  });

  test('is not held when more was told than one write', () => {
    const memory = setUp();
    const own = memory.writes('key');
    memory.told('key', 7);
    memory.told('key', 7);
    expect(put(memory, 'key', 1, { ticket: own })).toBe(false);
  });

  test('lives for maxStale at most: another write may have been told together with it', () => {
    const memory = setUp();
    const own = memory.writes('key');
    put(memory, 'key', 1, { ticket: own, agedMs: 100 });
    memory.heard('a', clock.ms + 10_000);
    advance(900);
    expect(memory.get('key')).toBe(1);
    advance(1);
    expect(memory.get('key')).toBeUndefined();
  });

  test.each([
    ['the key was forgotten', (memory: Memory) => memory.forget('key', 7)],
    ['the node was dropped', (memory: Memory) => memory.drop('a')],
    ['the node tells nothing any more', (memory: Memory) => memory.untrack('a')],
    ['owners have changed', (memory: Memory) => memory.follow(() => 'a')],
    ['another one of it is under way', (memory: Memory) => void memory.writes('key')],
  ])('is not held when %s meanwhile', (_, act) => {
    const memory = setUp();
    const own = memory.writes('key');
    act(memory);
    expect(put(memory, 'key', 1, { ticket: own })).toBe(false);
  });

  test('and another key have nothing to do with each other', () => {
    const memory = setUp();
    put(memory, 'read', 1);
    const own = memory.writes('key');
    memory.told('read', 7);
    expect(memory.get('read')).toBeUndefined();
    expect(put(memory, 'key', 1, { ticket: own })).toBe(true);
  });

  test('voids the answers to reads that are on their way', () => {
    const memory = setUp();
    const ticket = memory.ticket(7);
    memory.told('key', 7);
    expect(put(memory, 'key', 'old', { ticket })).toBe(false);
  });
});

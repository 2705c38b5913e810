/** Who may have an object twice: copies, and what cannot be changed. */
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { Memory } from '../../src/memory/memory.ts';
import type { MemoryTuning } from '../../src/memory/settings.ts';
import { CopyingMemory, copier, FreezingMemory, freezeDeep } from '../../src/memory/sharing.ts';

const TUNING: MemoryTuning = {
  maxEntries: 100,
  maxBytes: 10_000,
  ttlMs: 60_000,
  maxStaleMs: 60_000,
};

function put(memory: Memory, key: string, value: unknown): boolean {
  const arrival = {
    node: 'a',
    hash: 7,
    ticket: memory.ticket(7),
    forMs: 60_000,
    agedMs: 0,
    bytes: 10,
  };
  return memory.put(key, value, arrival);
}

const refuse = (): never => {
  throw new Error('not wanted');
};

describe('memory that copies', () => {
  const open = () => new CopyingMemory(TUNING, systemClock, copier(refuse));

  test('has another object than whoever put it, and hands out another each time', () => {
    const memory = open();
    const value = { list: [1, { deep: true }] };
    put(memory, 'k', value);
    value.list.push(2);
    const first = memory.get('k') as typeof value;
    first.list.length = 0;
    expect(memory.get('k')).toEqual({ list: [1, { deep: true }] });
    expect(memory.get('k')).not.toBe(memory.get('k'));
  });

  test('misses as any other', () => {
    expect(open().get('k')).toBeUndefined();
  });

  test.each([null, 0, '', false, 'text', 1n])('hands out %s as it is', (value) => {
    const memory = open();
    put(memory, 'k', value);
    expect(memory.get('k')).toBe(value);
  });

  test('keeps cycles, dates and maps', () => {
    const memory = open();
    const value: { at: Date; names: Map<string, number>; self?: unknown } = {
      at: new Date(5),
      names: new Map([['a', 1]]),
    };
    value.self = value;
    put(memory, 'k', value);
    const copy = memory.get('k') as typeof value;
    expect(copy).toEqual(value);
    expect(copy.self).toBe(copy);
    expect(copy.names).not.toBe(value.names);
  });

  test('asks for another way to copy what structuredClone refuses', () => {
    const memory = new CopyingMemory(
      TUNING,
      systemClock,
      copier((value) => JSON.parse(JSON.stringify(value)) as unknown),
    );
    put(memory, 'k', { id: 1, save: () => 'saved' });
    expect(memory.get('k')).toEqual({ id: 1 });
  });
});

describe('memory that freezes', () => {
  test('holds the very object, frozen all the way down', () => {
    const memory = new FreezingMemory(TUNING, systemClock);
    const value = { list: [1, { deep: true }], none: null };
    put(memory, 'k', value);
    expect(memory.get('k')).toBe(value);
    expect(() => value.list.push(2)).toThrow(TypeError);
    expect(() => {
      (value.list[1] as { deep: boolean }).deep = false;
    }).toThrow(TypeError);
  });

  test('looks into what is frozen already', () => {
    const value = Object.freeze({ inner: { open: true } });
    freezeDeep(value);
    expect(Object.isFrozen(value.inner)).toBe(true);
  });

  test('comes to an end with cycles, and with lists of any depth', () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(Object.isFrozen(freezeDeep(cycle))).toBe(true);
    let deep: unknown[] = [];
    const innermost = deep;
    for (let i = 0; i < 100_000; i += 1) deep = [deep];
    freezeDeep(deep);
    expect(Object.isFrozen(innermost)).toBe(true);
  });

  test('calls no getter', () => {
    const value = Object.defineProperty({}, 'lazy', { enumerable: true, get: refuse });
    expect(Object.isFrozen(freezeDeep(value))).toBe(true);
  });

  test('leaves alone what cannot be frozen, and what has a class of its own', () => {
    class User {
      name = 'Ann';
    }
    const value = {
      bytes: Buffer.from('abc'),
      numbers: new Float64Array(2),
      names: new Map([['a', 1]]),
      at: new Date(5),
      user: new User(),
    };
    freezeDeep(value);
    expect(Object.isFrozen(value)).toBe(true);
    value.bytes[0] = 1;
    value.numbers[0] = 1;
    value.names.set('b', 2);
    value.at.setTime(6);
    value.user.name = 'Bob';
    expect(value.user.name).toBe('Bob');
  });

  test.each([null, 0, 'text', undefined])('takes %s as it is', (value) => {
    expect(freezeDeep(value)).toBe(value);
  });
});
